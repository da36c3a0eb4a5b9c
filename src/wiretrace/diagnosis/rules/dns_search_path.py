"""dns-search-path: names that are looked up with every suffix of a search list before the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.diagnosis.conclude import conclude
from wiretrace.diagnosis.rules.contract import Page, Rule
from wiretrace.model.finding import ComponentKind, Severity
from wiretrace.model.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding

FEWEST = 20
"""Questions of one caller that found no name, at least, ..."""
SHARE = 0.5
"""... and their share of its questions."""


class DnsSearchPath(Rule):
    """A storm of questions for names that do not exist."""

    code = "dns-search-path"
    title = "Most name look-ups are for names that do not exist"
    page = Page(
        finds="A host at least half of whose questions to the name server are answered with NXDOMAIN: typically "
        "every name is "
        "tried with each suffix of the search list (ndots) before it is tried as it is.",
        matters="Each connection pays for several look-ups that can not succeed, and the name servers get several times the "
        "load. When they are slow, everything is.",
        confirm="'wiretrace query CASE \"SELECT operation, status, count(*) FROM calls WHERE protocol = 'dns' "
        "GROUP BY ALL\"'. "
        "Write names with a dot at the end, or lower ndots in resolv.conf.",
        false_alarm="Where software looks up names that need not exist, such as block lists for mail.",
    )

    def find(self, observed: Observed) -> Iterator[Finding]:
        """One finding for each host."""
        calls = observed.calls
        is_dns = np.array([ending.protocol == "dns" for ending in calls.endings], np.bool_)
        if not is_dns.any():
            return
        no_name = np.array([ending.status.upper() == "NXDOMAIN" for ending in calls.endings], np.bool_)
        rows = np.flatnonzero(is_dns[calls.ending])
        machines = np.array([calls.places[code].machine for code in calls.caller_place[rows].tolist()])
        for machine in np.unique(machines).tolist():
            of_host = rows[machines == machine]
            failed = of_host[no_name[calls.ending[of_host]]]
            if len(failed) < FEWEST or len(failed) < SHARE * len(of_host):
                continue
            yield conclude(
                observed,
                self,
                Severity.INFO,
                f"{percent(len(failed) / len(of_host))} of the name look-ups of {machine} are for names that do not exist.",
                f"{counted(len(failed), 'question')} of {len(of_host):,} were answered with NXDOMAIN.",
                (ComponentKind.HOST, machine),
                failed,
                f"Look at the search list and ndots in resolv.conf of {machine}.",
            )
