"""What the user chose for one analysis. Everything here that can change a result is recorded in the case's manifest."""

from dataclasses import asdict, dataclass, field

import msgspec

from wiretrace.model.limits import Limits
from wiretrace.model.service_marks import ServiceMarks


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of one analysis."""

    keep_values: bool = False
    """Whether captured values (SQL literals, query values) stay readable. Off: they are redacted before they are written."""
    jobs: int = 0
    """Worker processes; 0 uses one for each processor. Never changes a result, and so is not recorded."""
    names: dict[str, ServiceMarks] = field(default_factory=dict)
    """What the user's names file says of services, by name."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of memory and time."""

    def recorded(self) -> dict[str, object]:
        """The settings that can change a result, as the manifest of a case holds them."""
        recorded: dict[str, object] = {"keep_values": self.keep_values, "limits": asdict(self.limits)}
        if self.names:
            recorded["names"] = msgspec.to_builtins(self.names)
        return recorded
