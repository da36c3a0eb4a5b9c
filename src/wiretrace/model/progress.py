"""How a long analysis tells its caller where it is. The pipeline calls; the command line draws."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of an analysis. Calls come from one thread, in order."""

    def stage(self, name: str, unit: str = "bytes") -> None:
        """A stage begins, named for a person ("reading captures"); the one before it is done. `unit` is what it counts."""

    def advance(self, done: int, total: int) -> None:
        """`done` of `total` units of this stage are behind us; `total` is 0 where it is not known."""

    def finish(self) -> None:
        """Nothing more will come."""


class NoProgress:
    """Tells nobody."""

    def stage(self, name: str, unit: str = "bytes") -> None:
        """Ignore that a stage begins."""

    def advance(self, done: int, total: int) -> None:
        """Ignore how far it is."""

    def finish(self) -> None:
        """Ignore the end."""
