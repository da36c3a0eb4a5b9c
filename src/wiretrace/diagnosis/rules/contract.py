"""What a rule is: it looks at all calls of a case, and yields what it concludes. ONE FILE A RULE.

Rules: a rule works on whole columns, and in Python only on what is few (kinds of call, instances, pools). It claims
nothing that the packets do not show, says less than `warning` unless a request was harmed, and puts no captured value
into words but names of services, hosts, operations and statuses, which are redacted already. The same case gives the
same findings in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wiretrace.diagnosis.observed import Observed
    from wiretrace.model.finding import Finding


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
    """A rule. Instances hold no state."""

    code: ClassVar[str]
    """Its stable code, in small letters and hyphens: users' scripts name it."""
    title: ClassVar[str]
    """What it finds, in a few words."""
    page: ClassVar[Page]
    """Its documentation."""

    @abstractmethod
    def find(self, observed: Observed) -> Iterator[Finding]:
        """What the rule concludes from a case. Raises UserError where the case is damaged."""
