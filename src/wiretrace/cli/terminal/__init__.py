"""How results look on a terminal or in a pipe. Captured text is data: nothing of it can move the cursor or set a colour."""
