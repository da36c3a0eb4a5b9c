"""Service level objectives: what a file demands of requests, and which demands are missed.

TOML, one table a demand:

    [[objective]]
    operation = "GET /orders/{id}"   # of the requests that enter the system; all, if left out
    service = "web"                  # likewise
    p95_ms = 300
    error_rate = 0.01
"""

from pathlib import Path

import msgspec
import numpy as np

from wiretrace.diagnosis.measured import Measured
from wiretrace.model.errors import UserError
from wiretrace.model.words import duration, percent

MOST_BYTES = 1 << 20
"""Longest file that is believed to hold objectives."""


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One demand."""

    operation: str = ""
    service: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    error_rate: float | None = None


class ObjectivesFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    objective: list[Objective]


class Verdict(msgspec.Struct):
    """One figure against its demand."""

    requests: str
    """Which requests, in words."""
    figure: str
    demanded: str
    measured: str
    met: bool
    """Also where there was no such request."""


def read_objectives(path: Path) -> list[Objective]:
    """The demands in a file. Raises UserError where it can not be read, or holds something else."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: can not be read: {error.strerror}") from None
    try:
        return msgspec.toml.decode(text, type=ObjectivesFile).objective
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a file of objectives: {' '.join(str(error).split())}") from None


def judge(measured: Measured, objectives: list[Objective]) -> list[Verdict]:
    """Compare the requests with each demand."""
    verdicts = []
    for objective in objectives:
        of_kinds = [
            measured.of_kind(kind)
            for kind in measured.kinds
            if objective.operation in ("", kind.operation) and objective.service in ("", kind.service)
        ]
        rows = np.concatenate([np.zeros(0, np.int64), *of_kinds])
        words = objective.operation or "all requests"
        words += f" ({objective.service})" if objective.service else ""
        durations = np.sort(measured.duration[rows])
        for percentile, demanded in ((50, objective.p50_ms), (95, objective.p95_ms), (99, objective.p99_ms)):
            if demanded is not None:
                value = float(durations[-(-len(rows) * percentile // 100) - 1]) if len(rows) else 0.0
                verdicts.append(
                    Verdict(words, f"p{percentile}", duration(demanded * 1e6), duration(value), value <= demanded * 1e6)
                )
        if objective.error_rate is not None:
            share = float(measured.failed[rows].mean()) if len(rows) else 0.0
            verdicts.append(
                Verdict(
                    words, "error rate", percent(objective.error_rate), percent(share), share <= objective.error_rate
                )
            )
    return verdicts
