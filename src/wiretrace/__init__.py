"""wiretrace: packet captures from several hosts in, request trees out.

Importing this package loads no heavy library; each floor imports what it needs when it is first used.
"""

__version__ = "0.1.0"
