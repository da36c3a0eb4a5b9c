"""Two cases side by side, as `wiretrace diff` compares them: what changed for each kind of request, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from wiretrace.diagnosis.comparison import compare
from wiretrace.diagnosis.measured import Measured
from wiretrace.diagnosis.observed import Observed

if TYPE_CHECKING:
    from wiretrace.case.reader import Case

PARTS_KEPT = 8
"""Parts of the change of one percentile that are told, the largest first."""


def comparison(before: Case, after: Case) -> dict[str, Any]:
    """What differs, ready for JSON. Raises UserError if a case is damaged."""
    sides = [Measured(Observed(case)) for case in (before, after)]
    found: dict[str, Any] = msgspec.to_builtins(compare(*sides))
    for operation in found["operations"]:
        for percentile in operation["percentiles"]:
            percentile["parts"].sort(key=lambda part: -abs(part["after_ns"] - part["before_ns"]))
            del percentile["parts"][PARTS_KEPT:], percentile["shared"]
    names = {"before": before, "after": after}
    totals = {name: _totals(side) for name, side in zip(names, sides, strict=True)}
    changes = {name: found[name] for name in ("shared", "operations", "steps")}
    return {"name": before.path.name, **totals, **changes}


def _totals(side: Measured) -> dict[str, int]:
    return {"requests": len(side.requests), "failed": int(np.count_nonzero(side.failed))}
