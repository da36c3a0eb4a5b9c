"""Densities of delays: smoothed histograms over the logarithm of the delay, many of them in one table.

Delays in one service span from microseconds to seconds and have several peaks, so a histogram whose bins widen with
the delay fits them where a Gaussian does not. A density is per `resolution`, so that it can be compared with a rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BIN_WIDTH = 0.05
"""Width of a bin in units of log(1 + delay / resolution)."""
REACH = 24.0
"""Largest |log(1 + delay / resolution)|: nine hours at a resolution of a microsecond."""
BINS = int(2 * REACH / BIN_WIDTH) + 1
"""Bins of a density; delays below zero fall into the lower half."""
BANDWIDTH = 5.0
"""Standard deviation of the smoothing of a single observation, in bins; n of them are smoothed n ** -0.2 times as much."""
LEAST_BANDWIDTH = 0.6
"""The smoothing does not get finer than this, in bins."""
FLOOR = 1e-3
"""Probability that is spread evenly, and again, or more, widely smoothed: no delay is impossible."""
MOST_UNSEEN = 0.05
"""Largest share that is widely smoothed."""
WIDE_BINS = 36.0
"""Standard deviation of the wide smoothing, in bins."""

UNSEEN = 4.0
"""Delays far from all others that are imagined where contents are weighed too: with them, a delay that was never seen does
not outweigh what the contents say. By timing alone they would only blur."""

_WIDE_KERNEL = np.exp(-0.5 * (np.arange(-120, 121) / WIDE_BINS) ** 2)
_WIDE_KERNEL /= _WIDE_KERNEL.sum()


class Grain(NamedTuple):
    """How finely the delays of a service are told apart."""

    resolution: float
    """Nanoseconds."""
    unseen: float = 0.0
    """See `fit_density`."""


def delay_bins(delays: NDArray[np.float64], resolution: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Bin of each delay, and the logarithm of the bin's stretch there (what a density is lowered by). Any shape."""
    scaled = (delays * (1.0 / resolution)).astype(np.float32)
    stretch = np.log1p(np.abs(scaled))
    position = np.copysign(stretch, scaled)
    position += np.float32(REACH)
    position *= np.float32(1.0 / BIN_WIDTH)
    np.clip(position, 0, BINS - 1, out=position)
    return position.astype(np.int64), stretch


def fit_density(
    bins: NDArray[np.int64], weights: NDArray[np.float64] | None, samples: float, unseen: float = 0.0
) -> NDArray[np.float64]:
    """Logarithm of the density in each bin, shape (BINS,), from delays that fell into `bins`.

    `samples` is how many independent observations the weights stand for: fewer are smoothed more. `unseen` more are
    imagined to be widely smoothed.
    """
    histogram = np.bincount(bins, weights=weights, minlength=BINS).astype(np.float64)
    total = histogram.sum()
    if total <= 0:
        return np.full(BINS, np.log(1.0 / (BINS * BIN_WIDTH)))
    bandwidth = max(LEAST_BANDWIDTH, BANDWIDTH * max(samples, 1.0) ** -0.2)
    radius = int(4 * bandwidth) + 1
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / bandwidth) ** 2)
    smooth = np.convolve(histogram / total, kernel / kernel.sum(), "same")
    wide = np.convolve(smooth, _WIDE_KERNEL, "same")
    far = max(FLOOR, min(MOST_UNSEEN, unseen / samples))
    return np.log(((1 - FLOOR - far) * smooth + far * wide + FLOOR / BINS) / BIN_WIDTH)
