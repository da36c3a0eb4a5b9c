"""A case in, one self-contained HTML file out."""
