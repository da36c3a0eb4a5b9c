"""Rules: what wiretrace concludes from a case, one file each. See `contract.py`; `registry.py` finds them."""
