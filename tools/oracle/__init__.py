"""What tools/conformance.py is made of: running the analyzer, and comparing it with what tshark read."""
