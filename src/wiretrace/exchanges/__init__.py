"""Messages in, exchanges out: the driver, pairing by proof, outcomes, values, redaction."""
