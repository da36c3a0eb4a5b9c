"""Why a disagreement is none of our faults, or what we do not read yet: tools/conformance_explained.toml.

Rules: an explanation names the protocol, the files and how many disagreements of each it covers, so that one more is
not explained by it. Its reason says in a sentence what the packets show.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tools.oracle.comparison import Disagreement


class Explanations:
    """Reasons by file and protocol."""

    def __init__(self, entries: list[dict[str, object]]) -> None:
        self._reasons: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for entry in entries:
            files = entry["files"]
            assert isinstance(files, dict)
            for file, count in files.items():
                self._reasons[file, str(entry["protocol"])].append((int(count), str(entry["reason"])))

    @classmethod
    def read(cls, path: Path) -> Explanations:
        """The explanations of a file in TOML: `[[explained]]` with `protocol`, `reason` and `files` (name = count)."""
        return cls(tomllib.loads(path.read_text()).get("explained", []))

    def reasons(self, file: str, protocol: str, disagreements: list[Disagreement]) -> list[str | None]:
        """The reason of each disagreement of one file and protocol; None for each where they are more than explained."""
        known = self._reasons.get((file, protocol), [])
        if len(disagreements) > sum(count for count, _ in known):
            return [None] * len(disagreements)
        reasons: list[str | None] = []
        for count, reason in known:
            reasons.extend([reason] * count)
        return reasons[: len(disagreements)]
