"""The linker's output as plain arrays. Row i is call i of the problem (`model/link_problem.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EvidenceItem(NamedTuple):
    """One piece of evidence for one candidate link."""

    child: int
    parent: int
    kind: str
    weight: float
    """Log-likelihood ratio against the other candidates, natural logarithm."""
    detail: str
    """In words, for a person; holds no captured value."""


@dataclass(slots=True)
class LinkSolution:
    """The links. `parent`, `confidence` and `basis` have shape (n,)."""

    parent: NDArray[np.int64]
    """Index of the parent of each call; -1: a root."""
    confidence: NDArray[np.float64]
    """Posterior probability of `parent` (or, for a root, of having no parent here)."""
    basis: NDArray[np.uint8]
    """Index into `BASES`."""
    alternatives: list[tuple[int, int, float]] = field(default_factory=list)
    """(child, parent or -1, probability) of the runners-up that are worth telling, best first for each child."""
    evidence: list[EvidenceItem] = field(default_factory=list)
    """At least one item for every chosen parent."""
    follows: NDArray[np.bool_] | None = None
    """Shape (n,): whether the call follows its parent, who put a message on a queue; else it is its child in time. None: no
    call follows any."""
    also_follows: list[tuple[int, int, float, int]] = field(default_factory=list)
    """(child, parent, probability, basis) where a call took several messages off: further calls that it follows."""


BASES = ("stated", "measured", "inferred")
"""What a link rests on: an identifier that names the parent, the same bytes, or a judgement."""

RELATIONS = ("child", "follows")
"""What a call is to its parent: made while that was served, or because of a message that it put on a queue."""

QUESTION_BELOW = 0.5
"""A link with less confidence than this is drawn as a question, not as a link."""
