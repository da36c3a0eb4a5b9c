"""What all services of a system have in common between two times: a busier machine makes everything slower at once.

That is no change of any of them, and what is to be told of each is how much more (or less) it changed than all. Rules: every
service has one vote, however many calls it answers, so that a slow database with a hundred statements stays one service.
The factor is the median of the services' own, so that fewer than half of them can not move it. There is one only where so
many services changed to the same side that chance does not explain it (the sign test); so in small systems there is none.
"""

from __future__ import annotations

from math import comb
from statistics import median
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGE = 1.25
"""A factor that is told, or one divided by it."""
ACCIDENT = 0.05
"""Probability that so many services change to the same side by accident, below which it is none."""


class SharedChange(msgspec.Struct, frozen=True):
    """How much longer all services take by themselves, at a percentile of the requests, or in the mean of all."""

    factor: float = 1.0
    """Times as long as before; 1 where services did not change alike."""
    alike: int = 0
    """Services that changed to that side."""
    services: int = 0
    """Services that were compared."""

    @property
    def is_large(self) -> bool:
        """Whether it is worth telling."""
        return not 1 / LARGE < self.factor < LARGE


def shared_words(middle: SharedChange, slowest: SharedChange) -> str:
    """What a person has to know of what services share at the median and among the slowest; empty where it is small."""
    told = [(each, where) for each, where in ((middle, "middle"), (slowest, "slowest")) if each.is_large]
    if not told:
        return ""
    said = [
        f"{each.alike} of {each.services} services take {'longer' if each.factor > 1 else 'shorter'} by themselves in the "
        f"{where} requests, {each.factor:.2g} times as long as before"
        for each, where in told
    ]
    return (
        f"{'; '.join(said)}: look for a cause that they share, as a busier machine, before one of their own. Of each is "
        "flagged only what it changed beyond that."
    )


def shared_change(before: Mapping[str, float], after: Mapping[str, float]) -> SharedChange:
    """What the services have in common; by name, the time that each takes by itself."""
    factors = [after[name] / old for name, old in before.items() if old > 0 and after.get(name, 0.0) > 0]
    slower, faster = sum(each > 1 for each in factors), sum(each < 1 for each in factors)
    alike = max(slower, faster)
    if sign_p(alike, slower + faster) >= ACCIDENT:
        return SharedChange(services=len(factors))
    return SharedChange(median(factors), alike, len(factors))


def sign_p(most: int, count: int) -> float:
    """Probability that at least `most` of `count` go to the same side, whichever, where each side is as likely."""
    return float(min(2 * sum(comb(count, number) for number in range(most, count + 1)) / 2**count, 1.0))
