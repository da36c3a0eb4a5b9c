"""Exchanges of many vantage points in, calls on one time line out."""
