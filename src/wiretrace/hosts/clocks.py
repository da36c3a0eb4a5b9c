"""The clocks of the hosts, compared by the exchanges that two of them saw, and brought onto one time line.

Rules: raw times are never rewritten; a clock is a view of them. For clocks A and B, what travels from A to B is seen at B
at least the difference of the clocks later, what travels from B to A at most that: in a window in which clocks run
evenly, the lower convex hull of the first and the upper hull of the second enclose the difference (Moon, Skelly, Towsley
1999; Zhang, Liu, Xia 2002), and half their distance is the error bound. An unequal delay of the two ways can not be seen
and is inside that bound. Offsets spread from a reference clock over the pairs with the least error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

WINDOW_NS = 5e9
"""Clocks are taken to run evenly for this long (temperature moves them over minutes)."""
LONGEST_WINDOW_NS = 60e9
"""A window grows up to this where too little was seen."""
WINDOW_SAMPLES = 100
"""Samples of each way that make a window of `WINDOW_NS` worth its own estimate; a longer one does with `FEW_SAMPLES`."""
FEW_SAMPLES = 4
HULL_BINS = 24
"""Each window keeps its best sample of so many equal stretches of time."""
STAMP_ERROR_NS = 1_000.0
"""Resolution of classic capture files, which is added to every bound."""
MOST_DRIFT = 500e-6
"""Clocks are taken to run within this of each other: the slope of a line is cut to it."""
LONGEST_DELAY_NS = 1e9
"""Stands for the unknown delay where packets were seen one way only."""


@dataclass(slots=True)
class PairSamples:
    """What two clocks saw of the same packets; times in nanoseconds as each clock showed them. Shapes are (n,)."""

    first: NDArray[np.int64]
    """Number of one clock."""
    second: NDArray[np.int64]
    """Number of the other one."""
    at_first: NDArray[np.int64]
    at_second: NDArray[np.int64]
    """Time of the same packet at the second clock."""
    towards_second: NDArray[np.bool_]
    """Whether the packet passed the first clock before the second."""


@dataclass(slots=True)
class ClockEstimate:
    """What one clock shows minus the common time line. Between the knots the offset runs straight."""

    host: str
    """Host (or, where it has none, capture) whose clock it is."""
    reference: str
    """Host whose clock the common time line is."""
    base_ns: int = 0
    """Origin of `knots_ns`, as the clock shows it."""
    knots_ns: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """Shape (k,), rising: times as the clock shows them, since `base_ns`."""
    offsets_ns: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """Shape (k,): what the clock shows minus the common time line."""
    errors_ns: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """Shape (k,): half the width of the interval that holds the offset."""
    samples: int = 0
    """Packets that were compared; 0 for a reference, and for a clock that could not be compared."""

    @property
    def drift_ppm(self) -> float:
        """Parts per million that the clock runs fast against the common time line."""
        if len(self.knots_ns) < 2 or self.knots_ns[-1] <= self.knots_ns[0]:
            return 0.0
        slope = (self.offsets_ns[-1] - self.offsets_ns[0]) / (self.knots_ns[-1] - self.knots_ns[0])
        return float(slope / (1 - slope) * 1e6)

    @property
    def offset_ns(self) -> float:
        """The offset at the middle of what was compared."""
        return float(np.interp((self.knots_ns[0] + self.knots_ns[-1]) / 2, self.knots_ns, self.offsets_ns))

    @property
    def error_ns(self) -> float:
        """The bound of the error at the middle of what was compared."""
        return float(np.interp((self.knots_ns[0] + self.knots_ns[-1]) / 2, self.knots_ns, self.errors_ns))

    def offset_at(self, raw_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The offset at times that the clock shows; beyond the knots it runs on with the mean drift."""
        since = (raw_ns - self.base_ns).astype(np.float64)
        offset = np.interp(since, self.knots_ns, self.offsets_ns)
        slope = self.drift_ppm * 1e-6
        beyond = since - np.clip(since, self.knots_ns[0], self.knots_ns[-1])
        moved: NDArray[np.float64] = offset + slope * beyond
        return moved

    def corrected(self, raw_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times that the clock shows, on the common time line. -1 (none) stays."""
        on_line = raw_ns - np.rint(self.offset_at(raw_ns)).astype(np.int64)
        return np.where(raw_ns < 0, raw_ns, on_line)

    def error_at(self, raw_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """The bound of the error at times that the clock shows."""
        since = (raw_ns - self.base_ns).astype(np.float64)
        beyond = np.abs(since - np.clip(since, self.knots_ns[0], self.knots_ns[-1]))
        error: NDArray[np.float64] = np.interp(since, self.knots_ns, self.errors_ns)
        return error if self.samples == 0 else error + beyond * MOST_DRIFT / 5


@dataclass(slots=True)
class Difference:
    """What clock B shows minus what clock A shows, against A's time. Shapes are (k,)."""

    base_ns: int
    knots_ns: NDArray[np.float64]
    """A's times since `base_ns`."""
    values_ns: NDArray[np.float64]
    errors_ns: NDArray[np.float64]
    samples: int

    @property
    def error_ns(self) -> float:
        """The bound of the error at the middle of what was compared."""
        return float(np.interp((self.knots_ns[0] + self.knots_ns[-1]) / 2, self.knots_ns, self.errors_ns))


def estimate_clocks(samples: PairSamples, names: Sequence[str]) -> list[ClockEstimate]:
    """One estimate for each clock in `names`. Clocks that share nothing with others are references of their own."""
    differences = compare_pairs(samples, len(names))
    if not differences:
        return [ClockEstimate(name, name) for name in names]
    import networkx as nx  # here, because it takes long to load and most captures need no comparison

    graph: nx.Graph = nx.Graph()
    graph.add_nodes_from(range(len(names)))
    for (first, second), difference in differences.items():
        graph.add_edge(first, second, error=difference.error_ns, samples=difference.samples)
    estimates = [ClockEstimate(name, name) for name in names]
    for component in nx.connected_components(graph):
        if len(component) == 1:
            continue
        shared = {clock: sum(edge["samples"] for edge in graph[clock].values()) for clock in component}
        reference = min(component, key=lambda clock: (-shared[clock], clock))
        paths = nx.single_source_dijkstra_path(graph, reference, weight="error")
        for clock in sorted(paths, key=lambda clock: len(paths[clock])):
            if clock == reference:
                continue
            parent = paths[clock][-2]
            low, high = min(parent, clock), max(parent, clock)
            estimates[clock] = carry_on(
                estimates[parent], differences[low, high], names[clock], names[reference], parent == low
            )
    return estimates


def carry_on(
    parent: ClockEstimate, difference: Difference, name: str, reference: str, parent_is_first: bool
) -> ClockEstimate:
    """The estimate of a clock from that of the clock that it was compared with."""
    at_first = difference.base_ns + np.rint(difference.knots_ns).astype(np.int64)
    at_second = at_first + np.rint(difference.values_ns).astype(np.int64)
    at_parent, at_clock = (at_first, at_second) if parent_is_first else (at_second, at_first)
    on_line = at_parent - np.rint(parent.offset_at(at_parent)).astype(np.int64)
    base = int(at_clock[0])
    return ClockEstimate(
        host=name,
        reference=reference,
        base_ns=base,
        knots_ns=(at_clock - base).astype(np.float64),
        offsets_ns=(at_clock - on_line).astype(np.float64),
        errors_ns=difference.errors_ns + parent.error_at(at_parent),
        samples=difference.samples,
    )


def compare_pairs(samples: PairSamples, clocks: int) -> dict[tuple[int, int], Difference]:
    """The difference of every two clocks that saw the same packets, by (lower number, higher number)."""
    if not len(samples.first):
        return {}
    swap = samples.first > samples.second
    low = np.where(swap, samples.second, samples.first)
    high = np.where(swap, samples.first, samples.second)
    at_low = np.where(swap, samples.at_second, samples.at_first)
    at_high = np.where(swap, samples.at_first, samples.at_second)
    from_above = samples.towards_second ^ swap
    pair = low * clocks + high
    order = np.lexsort((at_low, pair))
    pair, at_low, at_high, from_above = pair[order], at_low[order], at_high[order], from_above[order]
    edges = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    found = {}
    for start, end in zip(edges, [*edges[1:], len(pair)], strict=True):
        rows = slice(int(start), int(end))
        difference = compare(at_low[rows], at_high[rows], from_above[rows])
        found[int(pair[start]) // clocks, int(pair[start]) % clocks] = difference
    return found


def compare(at_first: NDArray[np.int64], at_second: NDArray[np.int64], from_above: NDArray[np.bool_]) -> Difference:
    """The difference of two clocks. `from_above`: the packet went from first to second, and bounds it from above.

    Rows are in the order of `at_first`.
    """
    base = int(at_first[0])
    moment = (at_first - base).astype(np.float64)
    apart = at_second - at_first
    shift = int(np.median(apart))
    value = (apart - shift).astype(np.float64)
    lines = [
        line
        for low, high in windows(moment, from_above)
        if (line := enclose(moment[low:high], value[low:high], from_above[low:high])) is not None
    ]
    if not lines:
        return one_way(base, moment, value, from_above, shift)
    knots = [line.middle for line in lines]
    values = [(line.above(line.middle) + line.below(line.middle)) / 2 for line in lines]
    errors = [abs(line.above(line.middle) - line.below(line.middle)) / 2 for line in lines]
    zero_fits = all(
        line.below(line.middle) - STAMP_ERROR_NS <= -shift <= line.above(line.middle) + STAMP_ERROR_NS for line in lines
    )
    slope = lines[0].slope if len(lines) == 1 else (values[1] - values[0]) / (knots[1] - knots[0])
    end_slope = slope if len(lines) == 1 else (values[-1] - values[-2]) / (knots[-1] - knots[-2])
    for line, at, rate, place in ((lines[0], moment[0], slope, 0), (lines[-1], moment[-1], end_slope, len(knots))):
        nearest = 0 if place == 0 else len(values) - 1
        if at == knots[nearest]:
            continue
        estimate = values[nearest] + float(np.clip(rate, -MOST_DRIFT, MOST_DRIFT)) * (at - knots[nearest])
        bound = max(line.above(at) - estimate, estimate - line.below(at), errors[nearest])
        knots.insert(place if place == 0 else len(knots), float(at))
        values.insert(place if place == 0 else len(values), estimate)
        errors.insert(place if place == 0 else len(errors), bound)
    offsets = np.array(values) + shift
    bounds = np.array(errors) + STAMP_ERROR_NS
    if zero_fits:
        bounds = bounds + np.abs(offsets)
        offsets = np.zeros(len(offsets))
    return Difference(base, np.array(knots), offsets, bounds, len(moment))


def one_way(
    base: int, moment: NDArray[np.float64], value: NDArray[np.float64], from_above: NDArray[np.bool_], shift: int
) -> Difference:
    """Packets of one way only: the least delay is taken as none, and the bound says how little that is worth."""
    bound = value[from_above].min() if from_above.any() else value[~from_above].max()
    middle = (moment[0] + moment[-1]) / 2
    return Difference(base, np.array([middle]), np.array([bound + shift]), np.array([LONGEST_DELAY_NS]), len(moment))


def windows(moment: NDArray[np.float64], from_above: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches of rows that are estimated on their own, the last one joined to the one before where it is too thin."""
    cells = np.searchsorted(moment, np.arange(moment[0], moment[-1] + WINDOW_NS, WINDOW_NS))
    ups = np.concatenate(([0], np.cumsum(from_above)))
    found: list[tuple[int, int]] = []
    start = 0
    for end in [*(int(cell) for cell in np.unique(cells)[1:]), len(moment)]:
        up = int(ups[end] - ups[start])
        least = min(up, end - start - up)
        long = end > start and moment[end - 1] - moment[start] >= LONGEST_WINDOW_NS
        if least >= WINDOW_SAMPLES or (long and least >= FEW_SAMPLES):
            found.append((start, end))
            start = end
    if start < len(moment):
        if found:
            start = found.pop()[0]
        found.append((start, len(moment)))
    return found


@dataclass(slots=True)
class Enclosure:
    """The hulls that enclose the difference of two clocks in one window."""

    middle: float
    slope: float
    above: Callable[[float], float]
    below: Callable[[float], float]


def enclose(moment: NDArray[np.float64], value: NDArray[np.float64], from_above: NDArray[np.bool_]) -> Enclosure | None:
    """The hulls of one window; None where packets went one way only.

    A sample on the wrong side of the other way's median is no delay: its first copy was not captured at one end.
    """
    up, down = np.flatnonzero(from_above), np.flatnonzero(~from_above)
    if not len(up) or not len(down):
        return None
    kept_up = up[value[up] >= np.median(value[down]) - STAMP_ERROR_NS]
    kept_down = down[value[down] <= np.median(value[up]) + STAMP_ERROR_NS]
    if not len(kept_up) or not len(kept_down):
        kept_up, kept_down = up, down
    middle = float((moment[0] + moment[-1]) / 2)
    upper = lower_hull(*best_of_bins(moment[kept_up], value[kept_up]))
    lower = lower_hull(*best_of_bins(moment[kept_down], -value[kept_down]))
    slope = (slope_at(*upper, middle) - slope_at(*lower, middle)) / 2
    return Enclosure(
        middle=middle,
        slope=slope,
        above=lambda at: hull_value(*upper, at),
        below=lambda at: -hull_value(*lower, at),
    )


def best_of_bins(
    moment: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least value of each of `HULL_BINS` equal stretches of time. Leaving points out only widens the bound."""
    if len(moment) <= HULL_BINS:
        order = np.lexsort((value, moment))
        return moment[order], value[order]
    width = max(moment[-1] - moment[0], 1.0)
    place = np.minimum((moment - moment[0]) / width * HULL_BINS, HULL_BINS - 1).astype(np.int64)
    order = np.lexsort((value, place))
    first = np.concatenate(([True], place[order[1:]] != place[order[:-1]]))
    chosen = order[first]
    return moment[chosen], value[chosen]


def lower_hull(
    moment: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lower convex hull of points that are sorted by time (Andrew's monotone chain)."""
    hull: list[tuple[float, float]] = []
    for point in zip(moment.tolist(), value.tolist(), strict=True):
        if hull and hull[-1][0] == point[0]:
            continue
        while len(hull) > 1 and turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    vertices = np.array(hull)
    return vertices[:, 0], vertices[:, 1]


def turns_right(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or above the straight line from a to c."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]) <= 0


def hull_value(moment: NDArray[np.float64], value: NDArray[np.float64], at: float) -> float:
    """The hull at a time. Beyond its ends it rises as fast as two clocks can part."""
    beyond = abs(at - min(max(at, float(moment[0])), float(moment[-1])))
    return float(np.interp(at, moment, value)) + beyond * MOST_DRIFT


def slope_at(moment: NDArray[np.float64], value: NDArray[np.float64], at: float) -> float:
    """The slope of the edge of the hull over a time; 0 where there is none."""
    if len(moment) < 2:
        return 0.0
    edge = min(max(int(np.searchsorted(moment, at)), 1), len(moment) - 1)
    slope = (value[edge] - value[edge - 1]) / (moment[edge] - moment[edge - 1])
    return float(np.clip(slope, -MOST_DRIFT, MOST_DRIFT))
