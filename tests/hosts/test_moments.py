"""The times of exchanges in a file: read in blocks, they are what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from wiretrace.hosts import moments as moments_module
from wiretrace.hosts.moments import Moments
from wiretrace.hosts.stretches import Stretch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[1, 7, 1000])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moments:
    """A hundred exchanges, one a second and each 5 s long, read in blocks of several sizes."""
    monkeypatch.setattr(moments_module, "BLOCK_ROWS", request.param)
    moments = Moments(tmp_path / "moments")
    for first in (0, 30, 35):
        start = np.arange(first, {0: 30, 30: 35, 35: 100}[first])
        moments.add(start, start + 5)
    return moments


def test_every_so_many_exchanges_are_read_across_blocks(written: Moments) -> None:
    start, end = written.every(9)
    assert start.tolist() == list(range(0, 100, 9))
    assert (end - start == 5).all()
    assert (len(written), written.first_ns, written.last_ns) == (100, 0, 104)


def test_a_stretch_chooses_by_corrected_times(written: Moments) -> None:
    """Those that start near it, and those that are open when it begins; only those inside are owned."""
    chosen = written.choose(Stretch(1020, 1040, 1018, 1042), lambda times: times + 1000)
    assert chosen.rows.tolist() == list(range(15, 42))
    assert chosen.owned == 20


def test_starts_that_are_not_known_are_not_the_first(tmp_path: Path) -> None:
    moments = Moments(tmp_path / "moments")
    moments.add(np.array([-1, 50]), np.array([40, 60]))
    moments.add(np.array([45]), np.array([46]))
    assert (moments.first_ns, moments.last_ns) == (45, 60)
