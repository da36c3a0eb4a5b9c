"""Packet columns in, ordered bytes of each connection out, with the packets behind every byte."""
