"""Kinds of evidence for a link, one file each. See `contract.py`; `registry.py` finds them."""
