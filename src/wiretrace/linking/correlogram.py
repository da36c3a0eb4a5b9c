"""First delay densities without any assignment: how much more often than by chance does one kind of event follow another?

Rules: all lags between two streams of events of one process are counted on a logarithmic axis; what unrelated events
would give (their rate right after the later event, where nothing can be caused) is subtracted. What remains is a
density of the delay, and its information tells which event a call waits for. Works at any concurrency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wiretrace.linking.arrays import ranges
from wiretrace.linking.densities import delay_bins, fit_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.densities import Grain

LAG_BIN = 0.25
"""Width of a bin of lags, in units of log(1 + lag / resolution)."""
EVENTS_BACK = 12.0
"""Lags reach back over this many events on average."""
MOST_EVENTS = 20_000
"""Events of a stream that are looked at; the rest would not change the picture."""
LEAST_LAGS = 10
"""With fewer lags nothing is concluded."""
LEAST_MASS = 0.05
"""Share of the later events that must be explained by the earlier ones."""


class Correlogram(NamedTuple):
    """How one stream of events follows another."""

    information: float
    """Nats that a later event tells about which earlier event it follows."""
    mass: float
    """Share of the later events that follow an earlier one."""
    log_density: NDArray[np.float64]
    """Log density of the delay; see `densities`."""


def correlate(
    earlier: NDArray[np.float64], later: NDArray[np.float64], longest: float, grain: Grain
) -> Correlogram | None:
    """How `later` follows `earlier` (times of one axis, any order) within `longest`; None: it does not."""
    resolution = grain.resolution
    earlier, later = np.sort(earlier), np.sort(later)
    if len(later) > MOST_EVENTS:
        later = later[:MOST_EVENTS]
        earlier = earlier[earlier <= later[-1]]
    if not len(earlier) or not len(later):
        return None
    span = max(later[-1], earlier[-1]) - min(later[0], earlier[0]) + resolution
    rate = len(earlier) / span
    reach = min(EVENTS_BACK / rate, longest) + resolution
    low, high = np.searchsorted(earlier, later - reach, "left"), np.searchsorted(earlier, later, "right")
    count = high - low
    index = ranges(low, count)
    lags = np.repeat(later, count) - earlier[index]
    if len(lags) < LEAST_LAGS:
        return None
    position = (np.log1p(lags / resolution) / LAG_BIN).astype(np.int64)
    bins = int(np.log1p(reach / resolution) / LAG_BIN) + 2
    histogram = np.bincount(position, minlength=bins)[:bins].astype(np.float64)
    edges = np.minimum(np.expm1(np.arange(bins + 1) * LAG_BIN) * resolution, reach)
    # On a coarse clock a bin holds a whole number of ticks, and lag 0 is one of them.
    ticks = np.ceil(edges / resolution - 1e-9)
    widths = np.diff(ticks) * resolution
    after = np.searchsorted(earlier, later + reach, "right") - high
    background = max(after.sum() / (len(later) * reach), 0.5 * rate)
    by_chance = background * len(later) * widths
    excess = np.clip(histogram - by_chance - np.sqrt(by_chance), 0.0, None)
    mass = excess.sum() / len(later)
    if mass <= LEAST_MASS:
        return None
    share = np.convolve(excess / excess.sum(), (0.25, 0.5, 0.25), "same")
    share /= share.sum()
    told = (share > 0) & (widths > 0)
    information = float((share[told] * np.log(share[told] / widths[told] / rate)).sum())
    related = np.clip(excess / np.maximum(histogram, 1e-9), 0.0, 1.0)[np.minimum(position, bins - 1)]
    kept = related > 0
    delay_bin, _ = delay_bins(lags[kept], resolution)
    log_density = fit_density(delay_bin, related[kept], float(related.sum()), grain.unseen)
    return Correlogram(min(mass, 1.0) * information, mass, log_density)
