"""What the user chose for one analysis. Everything here that can change a result is recorded in the case's manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from wiretrace.model.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from wiretrace.model.service_marks import ServiceMarks


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices of one analysis."""

    keep_values: bool = False
    """Whether captured values (SQL literals, query values) stay readable. Off: they are redacted before they are written."""
    tls_keylog: Path | None = None
    """A file with secrets of TLS connections. Of it, nothing but that there was one is recorded."""
    jobs: int = 0
    """Worker processes; 0 uses one for each processor. Never changes a result, and so is not recorded."""
    names: dict[str, ServiceMarks] = field(default_factory=dict)
    """What the user's names file says of services, by name."""
    limits: Limits = field(default_factory=Limits)
    """Bounds of memory and time."""

    def recorded(self) -> dict[str, object]:
        """The settings that can change a result, as the manifest of a case holds them."""
        recorded: dict[str, object] = {
            "keep_values": self.keep_values,
            "tls_keylog": self.tls_keylog is not None,
            "limits": asdict(self.limits),
        }
        if self.names:
            import msgspec

            recorded["names"] = msgspec.to_builtins(self.names)
        return recorded
