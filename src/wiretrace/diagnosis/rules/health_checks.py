"""health-checks: calls that only ask whether a service is well, set apart from requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import Claim, Told
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Evidence
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole

FEWEST_FAILED = 2
"""Failed checks of a service that are worth a warning, ..."""
SHARE_FAILED = 0.05
"""... where they are so many of them."""


class HealthChecks(Rule):
    """Health checks."""

    code = "health-checks"
    title = "Health checks are set apart"
    page = Page(
        finds="Calls whose operation is one by which load balancers and orchestrators ask whether a service is well "
        "(GET /healthz, /ready, /ping and the like, grpc.health.v1). They count as no requests, in no rate and in no "
        "percentile; where they fail, that is a warning.",
        matters="Thousands of fast checks make every percentile look good and every error rate low. A check that fails "
        "takes an instance out of service.",
        confirm="List them: 'wiretrace show CASE --red --health-checks'.",
        false_alarm="Where people ask for a path of such a name in earnest (a page /status). Then it is missing from the "
        "requests, and this finding tells so.",
    )

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        self._checks = np.zeros(len(whole.parties), np.int64)
        self._failed = np.zeros(len(whole.parties), np.int64)
        """Health checks of each service, and those that failed."""

    def see_trees(self, portion: Portion) -> None:
        """Count health checks."""
        for counts, which in ((self._checks, portion.is_probe), (self._failed, portion.is_probe & portion.not_ok)):
            counts += np.bincount(portion.callee[which], minlength=len(counts))

    def claims(self) -> Iterator[Claim]:
        """One claim for each service that is checked."""
        for service in np.flatnonzero(self._checks).tolist():
            yield self._claim(service, int(self._checks[service]), int(self._failed[service]))

    def _claim(self, service: int, checks: int, failed: int) -> Claim:
        whole, name = self.whole, self.whole.parties[service]
        of_service = np.flatnonzero(whole.probes & (whole.callee_of_kind == service)).tolist()
        kinds = sorted(whole.told_kind(kind) for kind in of_service)
        is_ill = failed >= FEWEST_FAILED and failed >= SHARE_FAILED * checks

        def gather(portion: Portion, evidence: Evidence) -> None:
            places = np.flatnonzero(portion.is_probe & (portion.callee == service))
            # Those that failed come first.
            evidence.add(portion, places, portion.row[places] + whole.calls * ~portion.not_ok[places])

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.WARNING if is_ill else Severity.INFO,
                f"{percent(failed / checks)} of the health checks of {name} fail."
                if is_ill
                else f"{counted(checks, 'health check')} of {name} set apart from the requests.",
                f"They are {', '.join(kinds[:3])}: {checks:,} calls, {failed:,} failed.",
                "Nothing, where they are health checks." if not is_ill else f"Look at the instances of {name}.",
            )

        return Claim((ComponentKind.SERVICE, name), tell, gather)
