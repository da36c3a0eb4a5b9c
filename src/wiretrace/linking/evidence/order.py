"""Order: an event loop or a single worker takes its requests in turn, and their calls leave in that turn.

Rules: measured, never assumed. Where two requests overlap so that the later one's call could have left first, it is
counted how often it did, and how often independent delays would have made it. Only what is kept in order beyond that
counts as evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.service import Service

NEIGHBOURS = 3
"""Each request is compared with this many that arrived after it."""
CHANCE = 0.01
"""Keeping order this well must be less likely than this by chance."""
IMAGINED_INVERSIONS = 0.05
"""Inversions imagined before any is seen: few, because a queue keeps order exactly, or is none."""
MOST_NATS = 8.0
"""Strongest evidence that order may give."""


def order_weight(service: Service, held: NDArray[np.int64], looked_at: NDArray[np.int64]) -> float:
    """Nats by which keeping the order of arrival is likelier than independent delays make it.

    `held` (slots, requests) holds the units whose parent is beyond doubt, `looked_at` are the requests that are
    compared, in rising order.
    """
    expected = inverted = 0.0
    delays = np.take(service.starts, held, mode="wrap") - service.arrives
    for slot in range(service.slots):
        holders = looked_at[held[slot, looked_at] >= 0]
        usual = np.sort(delays[slot, holders])
        for step in range(1, min(NEIGHBOURS + 1, len(holders))):
            first, second = holders[:-step], holders[step:]
            left = service.arrives[first] + delays[slot, first] - service.arrives[second]
            overlapping = (service.instance[first] == service.instance[second]) & (left > 0)
            expected += (np.searchsorted(usual, left[overlapping], "left") / len(usual)).sum()
            inverted += float((delays[slot, second] < left)[overlapping].sum())
    if inverted >= expected or _poisson_at_most(inverted, expected) > CHANCE:
        return 0.0
    return float(min(MOST_NATS, np.log(expected / (inverted + IMAGINED_INVERSIONS))))


def _poisson_at_most(count: float, mean: float) -> float:
    """Bound (Chernoff) on the probability that a Poisson variable of this mean is at most `count`."""
    if count <= 0:
        return float(np.exp(-mean))
    return float(np.exp(count - mean + count * np.log(mean / count)))
