"""Findings: what we conclude. A finding is never a note (what we did not see), nor an outcome (what happened to a call)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How much a finding asks for somebody now."""

    CRITICAL = "critical"
    """Requests fail, or wait much longer than they used to, and this is why: somebody has to act now."""
    WARNING = "warning"
    """It harms some requests, or will: somebody has to look at it today."""
    INFO = "info"
    """It is worth knowing, and harms no request that was captured."""


class ComponentKind(enum.StrEnum):
    """What a finding or a suspicion points at."""

    SERVICE = "service"
    """A service, all its instances: "shop"."""
    INSTANCE = "instance"
    """One instance of a service, as its host and port: "app1:8080"."""
    HOST = "host"
    """A host, and all that runs on it: "app1"."""
    EDGE = "edge"
    """The arrow between two services, or between two hosts: "web → shop"."""
    OPERATION = "operation"
    """What a service is asked for: "GET /orders/{id} (shop)"."""
    STATEMENT = "statement"
    """A statement or command of a database, cache or queue: "SELECT orders (postgresql)"."""
    CONNECTION = "connection"
    """One connection: "10.0.0.2:40312 → 10.0.0.9:8080"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One conclusion, with what it rests on. The columns of the table `findings` say the same."""

    code: str
    """Stable code of the rule that found it; `wiretrace explain CODE` tells about it."""
    severity: Severity
    title: str
    """The finding in one sentence, in plain words."""
    detail: str
    """The figures that it rests on, in sentences."""
    component_kind: ComponentKind
    component: str
    """Name of what it points at, as `ComponentKind` shows by example."""
    requests: int
    """Requests (calls that enter the system) that it touched."""
    occurrences: int
    """Calls that show it, those that are not listed included."""
    calls: tuple[int, ...]
    """Rows of the table `calls` that prove it, those that show most first; at most `MOST_CALLS`."""
    first_ns: int
    """Start of the earliest call that shows it, on the common time line."""
    last_ns: int
    """End of the latest call that shows it, likewise."""
    next_step: str
    """What to do now, in a sentence."""


MOST_CALLS = 20
"""Calls that a finding lists."""
