"""The fault lab: calls between real processes that fail in known ways, recorded at both hosts, with the truth of each."""
