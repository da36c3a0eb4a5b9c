"""The applications of the lab, each one process on its own host."""
