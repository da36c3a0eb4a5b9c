"""A small simulator of services whose calls have known parents.

A handler is a function of the simulation, the call it serves and the time the call arrived; it makes calls of its own
and returns when it responds. Times are seconds of true time inside, and nanoseconds of each host's own clock in the
problem that `problem()` makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wiretrace.model.link_problem import MISSING, LinkProblem, Ragged

if TYPE_CHECKING:
    from wiretrace.linking.problem import LinkSolution

EPOCH_NS = 1_700_000_000_000_000_000


@dataclass
class Call:
    number: int
    parent: int
    caller: str
    callee: str
    operation: str
    start: float
    arrive: float
    respond: float = 0.0
    end: float = 0.0
    request_tokens: list[int] = field(default_factory=list)
    response_tokens: list[int] = field(default_factory=list)
    identifiers: list[int] = field(default_factory=list)
    transaction: int = -1
    connection: int = -1
    digest: int = 0
    one_way: bool = False
    prepares: bool = False


Handler = Callable[["Simulation", Call], float]


class Simulation:
    def __init__(self, seed: int = 1, network: float = 80e-6) -> None:
        self.random = np.random.default_rng(seed)
        self.network = network
        self.calls: list[Call] = []
        self.handlers: dict[str, Handler] = {}
        self.clock_offset: dict[str, float] = {}
        self.blind: set[str] = set()
        self.clock_error = 0.0
        self.busy_until: dict[str, float] = {}

    def work(self, mean: float, spread: float = 0.25) -> float:
        """A time of work: log-normal around `mean`."""
        return float(mean * np.exp(spread * self.random.standard_normal()))

    def call(
        self, caller: str, callee: str, operation: str, start: float, parent: Call | None = None, **kept: object
    ) -> Call:
        """Make a call, let its handler serve it, and return it with all its times."""
        number = len(self.calls)
        call = Call(
            number,
            -1 if parent is None else parent.number,
            caller,
            callee,
            operation,
            start,
            start + self.work(self.network),
            **kept,
        )  # type: ignore[arg-type]
        self.calls.append(call)
        handler = self.handlers.get(operation)
        call.respond = handler(self, call) if handler else call.arrive + self.work(1e-3)
        call.end = call.respond + self.work(self.network)
        return call

    def arrivals(self, rate: float, count: int) -> list[float]:
        """Times of `count` independent arrivals, `rate` a second."""
        return np.cumsum(self.random.exponential(1.0 / rate, count)).tolist()

    def problem(self) -> LinkProblem:
        calls = self.calls
        processes = sorted({c.caller for c in calls} | {c.callee for c in calls})
        services = sorted({_service(p) for p in processes})
        operations = sorted({(_service(c.callee), c.operation) for c in calls})
        n = len(calls)

        def number(names: list, known: list) -> np.ndarray:
            index = {name: i for i, name in enumerate(known)}
            return np.array([index[name] for name in names], np.int32)

        def times(at: list[float], hosts: list[str]) -> np.ndarray:
            return np.array(
                [
                    MISSING if host in self.blind else EPOCH_NS + round((t + self.clock_offset.get(host, 0.0)) * 1e9)
                    for t, host in zip(at, hosts, strict=True)
                ],
                np.int64,
            )

        callers, callees = [c.caller for c in calls], [c.callee for c in calls]
        return LinkProblem(
            caller=number(callers, processes),
            callee=number(callees, processes),
            caller_service=number([_service(p) for p in callers], services),
            callee_service=number([_service(p) for p in callees], services),
            operation=number([(_service(c.callee), c.operation) for c in calls], operations),
            caller_start_ns=times([c.start for c in calls], callers),
            caller_end_ns=times([c.end for c in calls], callers),
            callee_start_ns=times([c.arrive for c in calls], callees),
            callee_end_ns=times([c.respond for c in calls], callees),
            clock_error_ns=np.full(n, round(self.clock_error * 1e9), np.int64),
            one_way=np.array([c.one_way for c in calls], np.bool_),
            connection=np.array([c.connection for c in calls], np.int64),
            transaction=np.array([c.transaction for c in calls], np.int64),
            prepares=np.array([c.prepares for c in calls], np.bool_),
            lookup=np.full(n, -1, np.int64),
            request_digest=np.array([c.digest for c in calls], np.uint64),
            identifiers=ragged([c.identifiers for c in calls]),
            request_tokens=ragged([c.request_tokens for c in calls]),
            response_tokens=ragged([c.response_tokens for c in calls]),
            process_names=processes,
            service_names=services,
            operation_names=[operation for _, operation in operations],
            identifier_names={value: "traceparent" for c in calls for value in c.identifiers},
        )

    def truth(self) -> np.ndarray:
        return np.array([c.parent for c in self.calls], np.int64)


def simulate(
    handler: Handler, rate: float, count: int = 400, seed: int = 1, instances: tuple[str, ...] = ("app",)
) -> Simulation:
    """`count` requests at `rate` a second to the instances in turn, each served by `handler`."""
    world = Simulation(seed)
    world.handlers["REQUEST"] = handler
    for number, time in enumerate(world.arrivals(rate, count)):
        world.call("client", instances[number % len(instances)], "REQUEST", time)
    return world


def _service(process: str) -> str:
    return process.partition("#")[0]


def ragged(rows: list[list[int]]) -> Ragged:
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(offsets, np.array([v for row in rows for v in row], np.uint64))


def accuracy(solution: LinkSolution, truth: np.ndarray) -> float:
    """Share of the calls that have a parent whose parent is right."""
    has = truth >= 0
    return float((solution.parent[has] == truth[has]).mean())


def false_links(solution: LinkSolution, truth: np.ndarray) -> float:
    """Share of the calls without a parent that were given one."""
    none = truth < 0
    return float((solution.parent[none] >= 0).mean()) if none.any() else 0.0


def calibration_error(solution: LinkSolution, truth: np.ndarray) -> float:
    """Expected calibration error of the links, ten bins."""
    linked = solution.parent >= 0
    confidence, right = solution.confidence[linked], (solution.parent == truth)[linked]
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs((right[bins == b] - confidence[bins == b]).sum()) for b in range(10)]
    return float(sum(gaps) / len(confidence))
