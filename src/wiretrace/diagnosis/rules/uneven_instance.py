"""uneven-instance: one of several instances of a service is slower, or fails more often, than its siblings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude, harm, show_step, touched
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.diagnosis.statistics import rank_sum_p, table_p
from wiretrace.model.finding import ComponentKind
from wiretrace.model.words import counted, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 20
"""Calls of a kind that each of the two sides has, at least."""
SURE = 1e-4
"""Probability, over all comparisons made, below which a difference is no accident."""
TIMES_SLOWER = 1.5
"""An instance is slower where its middle call takes so many times as long, ..."""
SLOWER_NS = 5_000_000
"""... and so much longer."""
FAILS_MORE = 0.03
"""An instance fails more often where the shares of failures are so far apart."""


class UnevenInstance(Rule):
    """An instance unlike its siblings."""

    code = "uneven-instance"
    title = "One instance is worse than its siblings"
    page = Page(
        finds="For each kind of call that several instances of a service answer, an instance that is slower by itself "
        "(Mann-Whitney test) or fails more often (chi-square test) than the others together. The p-value is corrected for "
        "the number of comparisons, and the difference is large enough to matter.",
        matters="One in so many requests is bad, at random for the people who make them. Averages over all instances hide "
        "it. To take the instance out of service mends it at once.",
        confirm="Compare the instances: 'wiretrace show CASE --red'. Look at the host of the instance: its version, its "
        "load, its neighbours, its disk.",
        false_alarm="Where instances get different work (sharding, sticky sessions, one that also runs jobs), so that "
        "their calls are not alike though they are of one kind.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each instance and the kind of call in which it differs most."""
        calls, routes = observed.calls, observed.routes
        instances_of: dict[int, set[int]] = {}
        for kind, place in zip(routes.kind.tolist(), routes.place.tolist(), strict=True):
            instances_of.setdefault(kind, set()).add(place)
        shared = {kind: sorted(places) for kind, places in instances_of.items() if len(places) > 1}
        comparisons = 2 * sum(len(places) for places in shared.values())
        worst: dict[str, tuple[float, Finding]] = {}
        for kind, places in shared.items():
            rows = np.flatnonzero((calls.kind == kind) & observed.in_request & ~calls.unknown)
            place_of, own = calls.callee_place[rows], observed.parts.own[rows]
            failed = observed.failed[rows]
            for place in places:
                here = place_of == place
                if here.sum() < FEWEST or (~here).sum() < FEWEST:
                    continue
                name = calls.places[place].instance
                for p, title, detail, bad in (
                    self._slower(own[~failed], here[~failed]),
                    self._fails_more(failed, here),
                ):
                    if p * comparisons >= SURE:
                        continue
                    shown = rows[here & (failed if bad else ~failed)]
                    shown = shown[np.argsort(-observed.duration[shown], kind="stable")]
                    finding = conclude(
                        observed,
                        self,
                        harm(observed, touched(observed, shown)),
                        f"Instance {name} of {calls.kinds[kind].service} {title} than its siblings.",
                        f"{told_kind(calls, kind)}: {detail}; {counted(int(here.sum()), 'call')} here, "
                        f"{int((~here).sum()):,} there; p = {p * comparisons:.1e}.",
                        (ComponentKind.INSTANCE, name),
                        shown,
                        f"Take {name} out of service and see whether requests recover. {show_step(observed, int(shown[0]))}",
                    )
                    if name not in worst or p < worst[name][0]:
                        worst[name] = (p, finding)
        for _, finding in worst.values():
            yield finding

    def _slower(
        self,
        own: NDArray[np.int64],
        here: NDArray[np.bool_],
    ) -> tuple[float, str, str, bool]:
        if here.sum() < FEWEST or (~here).sum() < FEWEST:
            return 1.0, "", "", False
        middle, others = float(np.median(own[here])), float(np.median(own[~here]))
        if middle < TIMES_SLOWER * others or middle - others < SLOWER_NS:
            return 1.0, "", "", False
        return rank_sum_p(own, here), "is slower", f"{duration(middle)} in the middle against {duration(others)}", False

    def _fails_more(
        self,
        failed: NDArray[np.bool_],
        here: NDArray[np.bool_],
    ) -> tuple[float, str, str, bool]:
        share, others = float(failed[here].mean()), float(failed[~here].mean())
        if share - others < FAILS_MORE:
            return 1.0, "", "", True
        table = np.array(
            [[(failed & here).sum(), (~failed & here).sum()], [(failed & ~here).sum(), (~failed & ~here).sum()]]
        )
        return table_p(table), "fails more often", f"{percent(share)} fail against {percent(others)}", True
