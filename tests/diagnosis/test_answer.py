"""What the answer says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.system import System

from wiretrace.diagnosis import answer
from wiretrace.diagnosis.answer import answer_of

if TYPE_CHECKING:
    import pytest


def test_kinds_of_calls_that_are_not_told_apart_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of it where there are few; beyond what is told apart, the answer says how many there are."""
    system = System()
    for number in range(4):
        system.call(None, ("client", "web1"), f"GET /{number}", number * 100.0, 20)
    case = system.case()
    assert not any("kinds of calls" in limit for limit in answer_of(case).limits)
    monkeypatch.setattr(answer, "MOST_GROUPS", 3)
    told = "Of 4 kinds of calls, the first 2 are told apart; the others are judged as if they were one."
    assert told in answer_of(case).limits
