"""Parts of stretches in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.case.test_assembly import part

if TYPE_CHECKING:
    from pathlib import Path


def test_a_part_gives_back_whole_tables_and_single_columns(tmp_path: Path) -> None:
    """Two parts in one folder do not get into each other's way."""
    one, two = part(tmp_path, 0, [2, 4], [(4, 2, 0.5)]), part(tmp_path, 1, [6], [])
    assert one.read("calls").column("id").to_pylist() == [2, 4]
    assert two.read("calls").column("id").to_pylist() == [6]
    assert one.read("links", ("parent", "confidence")).to_pylist() == [{"parent": 2, "confidence": 0.5}]
    assert len(two.read("evidence")) == 0
