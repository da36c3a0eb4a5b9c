"""Compares what the analyzer says of a recording of the fault lab with what the injector did.

A call is found by the ends of its connection, and by its time. What it is taken for is its outcome, and the class that
shows it: a reset before the request is an attempt to connect, an error of a database is told from one of HTTP.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.faults.truth import CONTROLS, FAULTS, OUTCOME_OF, FaultyCall

from wiretrace.case.reader import Case
from wiretrace.case.writer import CaseWriter
from wiretrace.model.progress import NoProgress
from wiretrace.model.settings import Settings
from wiretrace.pipeline import analyze

EARLY_NS, LATE_NS = 2_000_000, 20_000_000
"""The injector writes down when it began and ended; packets are that much earlier or later at most."""
UNSEEN = "unseen"
CLASS_OF = {
    "request_lost": "request_dropped",
    "response_lost": "response_dropped",
    "server_silent": "server_stopped",
    "server_closed": "server_killed",
    "refused": "refused",
    "client_aborted": "client_abort",
    "client_timeout": "client_timeout",
    "dns_failed": "name_lookup",
    "tls_failed": "tls",
    "ok": "none",
    "unreachable": "unanswered_syn",
}
"""The class that an outcome shows; errors and resets need a second look."""


@dataclass
class Score:
    """How well one view of a recording was told."""

    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls by class, and by what they are taken for."""
    sets: list[int] = field(default_factory=list)
    """Size of the set of what is possible of each call of a fault that was seen."""
    outside: list[tuple[FaultyCall, str, tuple[str, ...]]] = field(default_factory=list)
    """Calls whose true outcome is not among what is said to be possible."""
    spoiled: list[tuple[FaultyCall, str]] = field(default_factory=list)
    """Calls that succeeded, on connections that met with a fault later, and that are said to have failed for certain."""
    claims: list[tuple[FaultyCall, str]] = field(default_factory=list)
    """Those of them of which one single outcome is claimed."""

    @property
    def macro_f1(self) -> float:
        """Mean over the classes of fault of the harmonic mean of precision and recall."""
        faults = [fault for fault in FAULTS if any(truth == fault for truth, _ in self.confusion)]
        return sum(map(self.f1, faults)) / len(faults)

    def f1(self, fault: str) -> float:
        """The harmonic mean of precision and recall of one class."""
        hits = self.confusion[fault, fault]
        said = sum(count for (_, taken), count in self.confusion.items() if taken == fault)
        true = sum(count for (truth, _), count in self.confusion.items() if truth == fault)
        return 2 * hits / (said + true) if said + true else 0.0

    @property
    def mean_size(self) -> float:
        """Mean size of the sets of what is possible."""
        return sum(self.sets) / max(len(self.sets), 1)


def analyzed(case: Path, captures: list[Path]) -> list[dict[str, Any]]:
    """The calls of a case that is made of these captures."""
    with CaseWriter(case, overwrite=True) as writer:
        analyze(captures, Settings(), NoProgress(), writer)
    return Case.open(case).table("calls").to_pylist()


def score(calls: list[dict[str, Any]], truth: list[FaultyCall]) -> Score:
    """Compare the rows of the table `calls` with the truth."""
    by_ports: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for call in sorted(calls, key=lambda call: call["start_ns"]):
        by_ports.setdefault((call["client_port"], call["server_port"]), []).append(call)
    result = Score()
    for true in truth:
        of_connection = [
            call
            for call in by_ports.get((true.client_port, true.server_port), [])
            if true.opened_ns - EARLY_NS <= call["start_ns"] <= true.end_ns + LATE_NS
        ]
        result.spoiled += [
            (true, call["outcome"])
            for call in of_connection[: true.earlier]
            if "ok" not in (call["possible"] or (call["outcome"],))
        ]
        asked = [call for call in of_connection[true.earlier :] if call["start_ns"] >= true.start_ns - EARLY_NS]
        call = asked[-1] if asked else None
        taken = class_of(call) if call is not None else UNSEEN
        result.confusion[true.fault, taken] += 1
        if call is None:
            continue
        possible = tuple(call["possible"] or (call["outcome"],))
        if true.fault not in CONTROLS:
            result.sets.append(len(possible))
        if OUTCOME_OF[true.fault] not in possible:
            result.outside.append((true, call["outcome"], possible))
            if len(possible) == 1:
                result.claims.append((true, call["outcome"]))
    return result


def class_of(call: dict[str, Any]) -> str:
    """The class of fault that a call shows."""
    outcome = call["outcome"]
    if outcome == "error":
        return "server_error" if call["protocol"] == "http" else "sql_error"
    if outcome == "server_reset":
        return "reset_before" if call["request_bytes"] == 0 else "reset_after"
    return CLASS_OF.get(outcome, outcome)
