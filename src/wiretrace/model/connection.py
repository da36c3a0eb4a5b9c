"""Numbers of connections, which mean the same on every floor."""

UDP_NUMBERS = 1 << 31
"""What is added to the own number of a UDP conversation at its vantage point, so that it differs from those of TCP."""
