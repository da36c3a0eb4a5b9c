"""What a rule is: it sees all calls of a case go by, a portion at a time, and says what it concludes. ONE FILE A RULE.

Rules: a rule works on the columns of a portion, and in Python only on what is few (kinds of call, instances, pools). What
it remembers does not grow with the number of calls: counts, distributions (`Distributions`), calls that are under way, at
most a bit a call (`RowSet`). It finds the same however the calls are cut into portions. It claims nothing that the packets
do not show, says less than `warning` unless a request was harmed, and puts no captured value into words but names of
services, hosts, operations and statuses, which are redacted already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.conclude import Claim
    from wiretrace.diagnosis.portion import Portion
    from wiretrace.diagnosis.whole import Whole


@dataclass(frozen=True, slots=True)
class Page:
    """What `wiretrace explain CODE` and docs/findings/CODE.md say of a rule. Plain sentences, no markup."""

    finds: str
    """What it finds, and how."""
    matters: str
    """Why that matters."""
    confirm: str
    """How to confirm it, with a command."""
    false_alarm: str
    """When it is a false alarm."""


HEADINGS = {
    "What it finds": "finds",
    "Why it matters": "matters",
    "How to confirm": "confirm",
    "When it is a false alarm": "false_alarm",
}
"""Headings of a page, in order, and the parts of `Page` below them."""


class Rule(ABC):
    """A rule. An instance looks at one case, and holds what it has seen of it so far."""

    code: ClassVar[str]
    """Its stable code, in small letters and hyphens: users' scripts name it."""
    title: ClassVar[str]
    """What it finds, in a few words."""
    page: ClassVar[Page]
    """Its documentation."""

    def __init__(self, whole: Whole) -> None:
        """`whole` is what is known of all calls: their words, what is usual, and more after each pass."""
        self.whole = whole

    def see_trees(self, portion: Portion) -> None:  # noqa: B027 (most rules need one of the passes only)
        """First pass: look at some whole trees. They come in any order."""

    def see_in_order(self, portion: Portion) -> None:  # noqa: B027
        """Third pass: look at some calls; all calls come in the order of their start.

        In the second pass, symptoms are found: see `Portion.is_origin`.
        """

    @abstractmethod
    def claims(self) -> Iterator[Claim]:
        """What the rule claims after these passes. Raises UserError where the case is damaged.

        In a last pass, over whole trees again, each claim gathers the calls that show it, and then tells.
        """
