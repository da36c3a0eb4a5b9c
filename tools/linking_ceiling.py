"""What the linker would reach if it knew the habits of the services: the ceiling of learning them.

The same model and the same search; but delays, plans and order are fitted to the true links instead of learned from what
was drawn. The truth enters nowhere else. It is fitted to the very calls that it links, so the ceiling is a little too high.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from wiretrace.linking import joint, linker
from wiretrace.linking.canonical import canonical_order
from wiretrace.linking.evidence.order import order_weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations
    from wiretrace.linking.problem import LinkSolution
    from wiretrace.linking.request_model import RequestModel
    from wiretrace.linking.service import Service
    from wiretrace.linking.units import Units
    from wiretrace.model.link_problem import LinkProblem

FITTINGS = 2
"""What calls wait for is chosen in the first, and the delays are fitted to it in the second."""


def link_with_true_habits(problem: LinkProblem, truth: NDArray[np.int64]) -> LinkSolution:
    """Link `problem` by habits fitted to `truth`: the row of each call's parent, -1 for none, shape (n,)."""
    order = canonical_order(problem)
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    parent = place[truth[order]]
    calls_of_units: dict[int, NDArray[np.int64]] = {}
    build = linker.build_service

    def remember(observations: Observations, units: Units, *rest: Any) -> Service:
        service = build(observations, units, *rest)
        calls_of_units[id(service)] = units.first_call[service.unit_number]
        return service

    def fit(service: Service, model: RequestModel, *rest: Any) -> None:
        request_of_call = np.full(len(problem) + 1, -1, np.int64)
        request_of_call[service.request_call] = np.arange(service.requests)
        everybody = np.arange(service.requests)
        held = joint.hold(service, request_of_call[parent[calls_of_units[id(service)]]], everybody)
        for _ in range(FITTINGS):
            model.learn(held, everybody, np.ones(service.requests))
        model.order_weight = order_weight(service, held, everybody)

    with mock.patch.object(linker, "build_service", remember), mock.patch.object(joint, "_learn", fit):
        return linker.link(problem)
