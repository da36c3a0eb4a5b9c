"""Runs rules over a case that a test made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiretrace.diagnosis.diagnose import examined
from wiretrace.diagnosis.rules.registry import known_rules

if TYPE_CHECKING:
    from tests.support.system import System

    from wiretrace.model.finding import Finding


def found(code: str, system: System, portion_calls: int = 1 << 16) -> list[Finding]:
    """What one rule finds in a system."""
    return examined(system.case(), [known_rules()[code]], portion_calls)[0]
