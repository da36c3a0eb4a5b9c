"""Records the captures in tests/protocols/captures/; one module a protocol, one function a capture."""
