"""A lab of thirteen small services over PostgreSQL and Redis, into which faults are injected while it runs."""
