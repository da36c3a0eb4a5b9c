"""What a kind of evidence is: it weighs candidate pairs of calls, and says in words what it saw.

Rules: a weight is a log-likelihood ratio (natural logarithm) that the parent caused the child, against the other
candidates. A kind that learns how reliable it is learns from the links that are beyond doubt. Words hold no captured
value. `timing`, `plan` and `order` weigh whole requests instead of pairs, and belong to `RequestModel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wiretrace.linking.observations import Observations

UNDECIDED = -2
"""In place of a known parent: nothing is known yet. (-1 is known to have none.)"""

MOST_NATS = 16.0
"""No single piece of evidence weighs more than this in either direction."""


class Match(NamedTuple):
    """Which pairs share values."""

    pair: NDArray[np.int64]
    """Rising numbers of the pairs that share a value that is not common, shape (sharing,)."""
    shared: NDArray[np.int64]
    """How many such values each shares, shape (sharing,)."""
    chance: NDArray[np.float64]
    """Probability that an unrelated call would share a value as rare as the rarest of them, shape (sharing,)."""
    most: NDArray[np.bool_]
    """Whether each shares several, and most of what the child could share with anybody, shape (sharing,)."""
    comparable: NDArray[np.bool_]
    """Whether both sides of each pair carry any value, shape (pairs,)."""


@dataclass(slots=True)
class Pairs:
    """Candidate pairs, arrays of shape (pairs,), sorted by child and then by the parent's arrival."""

    child: NDArray[np.int64]
    """Index of the outgoing call."""
    parent: NDArray[np.int64]
    """Index of an incoming call of the same process."""
    near: NDArray[np.bool_] | None = None
    """Whether the parent is one of a few that what was said before leaves open for the child; None: nothing was said."""

    def __len__(self) -> int:
        return len(self.child)

    def kept(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """The pairs that are `chosen`: whether each is (pairs,), or their rising numbers."""
        return Pairs(self.child[chosen], self.parent[chosen], None if self.near is None else self.near[chosen])


@dataclass(slots=True)
class Weighed:
    """What a kind of evidence says of pairs."""

    weight: NDArray[np.float64]
    """Log-likelihood ratio, shape (pairs,)."""
    detail: list[str]
    """Phrases; what is said of a pair is `detail[phrase[pair]]`."""
    phrase: NDArray[np.int64]
    """Index into `detail`, shape (pairs,); -1: nothing worth telling."""
    learned: object = None
    """What was learned of how reliable this kind is, to be given to `weigh` again: small and picklable, keyed by
    nothing but services and operations. None: nothing."""


class Evidence(ABC):
    """A kind of evidence. Instances hold no state."""

    kind: ClassVar[str]
    """Name of the kind, as it stands in the evidence table."""
    basis: ClassVar[int] = 2
    """Index into `BASES` of a link that this evidence alone decides."""

    of_connection: ClassVar[bool] = False
    """Whether it is what the call's connection says: all calls of a unit say the same, so it counts once, as what its first
    call says."""

    def propose(self, observations: Observations) -> Pairs | None:
        """Pairs that may be links although the parent was not live when the child started; None: no such."""
        return None

    @abstractmethod
    def weigh(
        self, observations: Observations, pairs: Pairs, known: NDArray[np.int64], learned: object = None
    ) -> Weighed | None:
        """Weigh `pairs`; `known` (n,) holds each call's parent where it is beyond doubt, or UNDECIDED.

        `learned` is what this kind learned before; without it, it learns from `known`. Returns None if it has nothing
        to say.
        """
