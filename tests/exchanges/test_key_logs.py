"""Key logs: read line by line, bounded, and nothing of them is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wiretrace.exchanges.key_logs import note_refused, read_key_log
from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind, Notes

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "ab" * 48


def line(number: int) -> str:
    return f"CLIENT_RANDOM {number:064x} {SECRET}\n"


def test_a_key_log_is_read_and_bounded(tmp_path: Path) -> None:
    """A line without end, and lines of other kinds, are passed over."""
    path = tmp_path / "keys.log"
    path.write_text("# made by a browser\n" + "x" * 5000 + "\n" + "".join(line(number) for number in range(5)))
    log = read_key_log(path, Limits(key_log_secrets=3))
    assert len(log) == 3
    assert log.secret("CLIENT_RANDOM", (2).to_bytes(32, "big")) == bytes.fromhex(SECRET)
    notes = Notes()
    note_refused(log, notes)
    assert notes.counts == {(NoteKind.LIMIT_REACHED, "key_log_secrets"): 2}


def test_no_key_log_is_an_empty_one() -> None:
    assert len(read_key_log(None, Limits())) == 0


def test_what_is_no_key_log_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.log"
    path.write_text(f"something with {SECRET} in it\n")
    with pytest.raises(UserError) as refused:
        read_key_log(path, Limits())
    assert SECRET not in str(refused.value)
    with pytest.raises(UserError):
        read_key_log(tmp_path / "missing", Limits())
