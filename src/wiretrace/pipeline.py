"""The whole way on one page: which floor follows which, on which executor."""
