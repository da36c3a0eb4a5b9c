"""Clients that ask real servers a known number of calls, and write down what they asked and what they were answered.

One file a protocol; each lists its `SCENARIOS`. `python tools/accuracy_servers.py` records them and compares.
"""
