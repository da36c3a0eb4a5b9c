"""Freed memory goes back to the system."""

import subprocess
import sys

from tests.support.command_line import COMMAND_SECONDS

SCRIPT = """
import pathlib, sys
sys.path[:0] = {path!r}
from wiretrace.memory import give_back_memory

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

pieces = [bytearray(60_000) for _ in range(4_000)]
kept = pieces[::50]
del pieces
before = resident()
give_back_memory()
print(before - resident())
"""


def test_pages_between_what_is_kept_are_given_back() -> None:
    """Pieces too small to be mapped one by one, most of them freed: half of them and more leave the process."""
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=sys.path)], capture_output=True, check=True, timeout=COMMAND_SECONDS
    )
    assert int(found.stdout) > 100_000_000
