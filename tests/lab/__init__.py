"""The lab: a small shop of real servers on hosts made of network namespaces, recorded with its truth. See docs/lab.md."""
