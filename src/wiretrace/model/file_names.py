"""Names of files as outputs tell them. Imports nothing of wiretrace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def told_name(path: Path | str) -> str:
    r"""A path or a part of one in characters that every output can hold: of bytes that are no UTF-8, ``\xff`` is told."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
