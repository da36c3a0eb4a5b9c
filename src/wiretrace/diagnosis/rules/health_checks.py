"""health-checks: calls that only ask whether a service is well, set apart from requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.diagnosis.spectrum import told_kind
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

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

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each service that is checked."""
        calls = observed.calls
        rows = np.flatnonzero(observed.probe_kinds[calls.kind])
        for service in np.unique(calls.callee_of_kind[calls.kind[rows]]).tolist():
            of_service = rows[calls.callee_of_kind[calls.kind[rows]] == service]
            failed = calls.failed[of_service]
            kinds = sorted({told_kind(calls, code) for code in calls.kind[of_service].tolist()})
            name = calls.parties[service]
            is_ill = failed.sum() >= FEWEST_FAILED and failed.mean() >= SHARE_FAILED
            shown = of_service[np.argsort(~failed, kind="stable")]
            yield conclude(
                observed,
                self,
                Severity.WARNING if is_ill else Severity.INFO,
                f"{percent(float(failed.mean()))} of the health checks of {name} fail."
                if is_ill
                else f"{counted(len(rows if len(rows) == len(of_service) else of_service), 'health check')} of {name} "
                "set apart from the requests.",
                f"They are {', '.join(kinds[:3])}: {len(of_service):,} calls, {int(failed.sum()):,} failed.",
                (ComponentKind.SERVICE, name),
                shown,
                "Nothing, where they are health checks." if not is_ill else f"Look at the instances of {name}.",
            )
