"""dns-search-path: names that are looked up with every suffix of a search list before the right one."""

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

    def __init__(self, whole: Whole) -> None:
        super().__init__(whole)
        endings = whole.vocabulary.endings
        self._is_dns = np.array([ending.protocol == "dns" for ending in endings], np.bool_)
        self._no_name = self._is_dns & [ending.status.upper() == "NXDOMAIN" for ending in endings]
        self._asked = np.zeros(len(whole.vocabulary.places), np.int64)
        self._in_vain = np.zeros(len(whole.vocabulary.places), np.int64)
        """Questions of each place, and those that found no name."""

    def see_trees(self, portion: Portion) -> None:
        """Count questions."""
        for counts, which in ((self._asked, self._is_dns), (self._in_vain, self._no_name)):
            counts += np.bincount(portion.caller_place[which[portion.ending]], minlength=len(counts))

    def claims(self) -> Iterator[Claim]:
        """One claim for each host."""
        machines: dict[str, list[int]] = {}
        for place in np.flatnonzero(self._asked).tolist():
            machines.setdefault(self.whole.vocabulary.places[place].machine, []).append(place)
        for machine, places in sorted(machines.items()):
            asked, in_vain = int(self._asked[places].sum()), int(self._in_vain[places].sum())
            if in_vain >= FEWEST and in_vain >= SHARE * asked:
                yield self._claim(machine, places, asked)

    def _claim(self, machine: str, callers: list[int], asked: int) -> Claim:
        def gather(portion: Portion, evidence: Evidence) -> None:
            is_theirs = np.isin(portion.caller_place, callers)
            evidence.add(portion, np.flatnonzero(self._no_name[portion.ending] & is_theirs))

        def tell(evidence: Evidence) -> Told:
            return Told(
                Severity.INFO,
                f"{percent(evidence.occurrences / asked)} of the name look-ups of {machine} are for names that do not "
                "exist.",
                f"{counted(evidence.occurrences, 'question')} of {asked:,} were answered with NXDOMAIN.",
                f"Look at the search list and ndots in resolv.conf of {machine}.",
            )

        return Claim((ComponentKind.HOST, machine), tell, gather)
