"""Densities of delays."""

from __future__ import annotations

import numpy as np

from wiretrace.linking.correlogram import correlate
from wiretrace.linking.densities import Grain, delay_bins, fit_density


def test_a_density_integrates_to_one() -> None:
    """Summed over delays from microseconds to minutes, probabilities add up."""
    delays = np.random.default_rng(1).lognormal(np.log(1e6), 0.5, 2000)
    bins, _ = delay_bins(delays, 1000.0)
    density = fit_density(bins, None, len(delays))
    grid = np.exp(np.linspace(np.log(1e3), np.log(1e9), 200_000))
    bin_of_grid, stretch = delay_bins(grid, 1000.0)
    mass = np.trapezoid(np.exp(density[bin_of_grid] - stretch) / 1000.0, grid)
    assert 0.97 < mass < 1.03


def test_no_delay_is_impossible_and_usual_ones_are_likelier() -> None:
    """The floor keeps every bin finite, and the peak is where the samples are."""
    bins, _ = delay_bins(np.full(100, 1e6), 1000.0)
    density = fit_density(bins, None, 100.0)
    assert np.isfinite(density).all()
    assert density.argmax() == bins[0]


def test_imagined_delays_widen_the_tails_of_few_samples_more_than_of_many() -> None:
    """A hundred times the usual delay becomes likelier, the more so the fewer were seen; all together stay as likely."""
    far, _ = delay_bins(np.array([1e8]), 1000.0)
    gains = []
    for count in (50, 5000):
        bins, _ = delay_bins(np.full(count, 1e6), 1000.0)
        plain, wide = fit_density(bins, None, count), fit_density(bins, None, count, unseen=4.0)
        gains.append(float((wide - plain)[far[0]]))
        assert abs(np.exp(wide).sum() / np.exp(plain).sum() - 1) < 0.01
    assert gains[0] > 2.0
    assert -0.01 < gains[1] < 0.5


def test_a_correlogram_finds_what_follows_what_among_overlapping_requests() -> None:
    """Events 1 ms after others stand out; unrelated events do not."""
    random = np.random.default_rng(2)
    causes = np.sort(random.uniform(0, 1e11, 10_000))
    effects = causes + random.lognormal(np.log(1e6), 0.1, len(causes))
    found = correlate(causes, effects, 20e6, Grain(1000.0))
    assert found is not None
    assert found.mass > 0.7
    assert found.information > 0.5
    peak, _ = delay_bins(np.array([1e6]), 1000.0)
    assert abs(int(found.log_density.argmax()) - int(peak[0])) < 6
    unrelated = correlate(random.uniform(0, 1e11, 10_000), effects, 20e6, Grain(1000.0))
    assert unrelated is None or unrelated.information < 0.2 * found.information
