"""Who answers for a component, from the names file that the case was made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wiretrace.model.errors import UserError
from wiretrace.model.finding import ComponentKind
from wiretrace.model.service_marks import ServiceMarks

if TYPE_CHECKING:
    from wiretrace.case.reader import Case

NOBODY = ServiceMarks()


class Owners:
    """Marks of services, asked for by component."""

    def __init__(self, case: Case) -> None:
        """Raises UserError where the manifest of the case holds something else under that name."""
        try:
            self._marks = msgspec.convert(case.manifest.settings.get("names", {}), dict[str, ServiceMarks])
        except msgspec.ValidationError:
            raise UserError(f"{case.path}: damaged: the names in the manifest are none; make the case again") from None
        self._services: dict[str, list[str]] = {}
        if self._marks:
            hosts = case.table("hosts").select(["host", "services", "addresses"]).to_pylist()
            for row in hosts:
                for name in (row["host"], *(row["addresses"] or ())):
                    self._services[name or ""] = row["services"] or []

    def of(self, kind: ComponentKind, component: str) -> ServiceMarks:
        """The marks of the service that a component belongs to; without an owner where the file does not say."""
        for service in self._services_of(kind, component):
            if service in self._marks:
                return self._marks[service]
        return NOBODY

    def _services_of(self, kind: ComponentKind, component: str) -> list[str]:
        """Services that a component may belong to, the likeliest first."""
        if not self._marks:
            return []
        match kind:
            case ComponentKind.SERVICE:
                return [component]
            case ComponentKind.OPERATION | ComponentKind.STATEMENT:
                return [component.rpartition(" (")[2].removesuffix(")")]
            case ComponentKind.EDGE:
                return [component.partition(" → ")[2]] if " → " in component else []
            case ComponentKind.INSTANCE:
                return self._services.get(component.rpartition(":")[0].strip("[]"), [])
            case ComponentKind.HOST:
                return self._services.get(component, [])
            case _:
                return []
