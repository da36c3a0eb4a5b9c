"""What the user chose for one analysis. Everything here that can change a result is recorded in the case's manifest."""

from dataclasses import asdict, dataclass, field

from wiretrace.model.limits import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of one analysis."""

    keep_values: bool = False
    """Whether captured values (SQL literals, query values) stay readable. Off: they are redacted before they are written."""
    jobs: int = 0
    """Worker processes; 0 uses one for each processor. Never changes a result, and so is not recorded."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of memory and time."""

    def recorded(self) -> dict[str, object]:
        """The settings that can change a result, as the manifest of a case holds them."""
        return {"keep_values": self.keep_values, "limits": asdict(self.limits)}
