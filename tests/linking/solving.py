"""The joint assignment inside a linking, for tests that look into it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

from wiretrace.linking import joint, linker

if TYPE_CHECKING:
    from simulator import Simulation

    from wiretrace.linking.habits import ServiceHabits
    from wiretrace.linking.service import Service


def solved_services(simulation: Simulation) -> list[tuple[Service, joint.Posterior]]:
    """The services with contested calls of a simulation that is linked, and what the draws say of each."""
    services: list[tuple[Service, joint.Posterior]] = []

    def solve(service: Service, known: ServiceHabits | None = None, quick: bool = False) -> joint.Posterior:
        services.append((service, joint.solve(service, known, quick)))
        return services[-1][1]

    with mock.patch.object(linker, "solve", solve):
        linker.link(simulation.problem())
    return services
