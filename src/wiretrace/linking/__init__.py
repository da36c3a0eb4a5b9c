"""Calls in, request trees out: one file a kind of evidence, and the joint assignment."""
