"""A case in, files of other tools out: one file a format."""
