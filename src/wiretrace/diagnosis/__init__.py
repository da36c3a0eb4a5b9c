"""A case in, answers out."""
