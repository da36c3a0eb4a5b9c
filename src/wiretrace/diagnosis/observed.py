"""What the rules look at: all calls of a case as columns, who caused whom, and which calls are requests."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from wiretrace.case.forest import topmost_calls
from wiretrace.diagnosis.ancestry import Ancestry, ancestry_of_calls
from wiretrace.diagnosis.columns import CallColumns
from wiretrace.diagnosis.requests import entering_calls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case


class Observed:
    """A case, as the rules see it. Everything is read when it is first asked for. Arrays have one entry a call."""

    def __init__(self, case: Case) -> None:
        self.case = case
        """The case itself."""

    def __len__(self) -> int:
        return int(self.case.group_starts("calls")[-1])

    @cached_property
    def calls(self) -> CallColumns:
        """The calls."""
        return CallColumns(self.case)

    @cached_property
    def ancestry(self) -> Ancestry:
        """Who caused whom."""
        return ancestry_of_calls(self.case)

    @cached_property
    def entering(self) -> NDArray[np.bool_]:
        """Which calls are requests that enter the system."""
        return entering_calls(self.calls)

    @cached_property
    def request(self) -> NDArray[np.int32]:
        """Row of the topmost call above each call."""
        return topmost_calls(self.ancestry.parent)

    @cached_property
    def in_request(self) -> NDArray[np.bool_]:
        """Which calls are requests, or were made for one."""
        return self.entering[self.request]
