"""The exchanges of one chunk as rows: which messages, what proves that they belong together, and what happened.

Rules: rows refer to messages by their rows in the `MessageTable`, and to connections by their ranks in it. What is paired by
array operations arrives as arrays, the rest one by one; in the end they stand in the order of their connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiretrace.exchanges.message_table import integers
from wiretrace.exchanges.pairing import Proof
from wiretrace.model.outcome import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.exchanges.outcomes import Judgement
    from wiretrace.exchanges.pairing import Pair

PROOFS = list(Proof)
OUTCOMES = list(Outcome)
PROOF_CODES = {proof: code for code, proof in enumerate(PROOFS)}
OUTCOME_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}


class Rows:
    """Exchanges of one chunk. Arrays have shape (n,), int64; they are complete once `arrange` was called."""

    def __init__(self) -> None:
        empty = np.zeros(0, np.int64)
        self.rank = empty
        """Place of the connection."""
        self.request = empty
        """Row of the request in the message table; 0 where it was not captured."""
        self.response = empty
        """Row of the response; 0 where there is none."""
        self.proof = empty
        """Index in PROOFS."""
        self.outcome = empty
        """Index in OUTCOMES."""
        self.transaction = empty
        """Number of the transaction; -1 outside one."""
        self.delivered = empty
        """1 where the server asked."""
        self.judged: dict[int, Judgement] = {}
        """By row, where there is more to say than the outcome: what else is possible, what ended it, what proves it."""
        self._single: list[tuple[int, int, int, int, int, int, int]] = []
        self._judged: dict[int, Judgement] = {}

    def __len__(self) -> int:
        return len(self.rank) + len(self._single)

    def set_plain(
        self,
        rank: NDArray[np.int64],
        request: NDArray[np.int64],
        response: NDArray[np.int64],
        proof: NDArray[np.int64],
        outcome: NDArray[np.int64],
        transaction: NDArray[np.int64],
        judged: dict[int, Judgement],
    ) -> None:
        """Take the exchanges of all plain connections. All shapes (n,); `judged` as the attribute."""
        self.rank, self.request, self.response = rank, request, response
        self.proof, self.outcome, self.transaction = proof, outcome, transaction
        self.delivered = np.zeros(len(rank), np.int64)
        self.judged = judged

    def add(self, rank: int, pair: Pair, judgement: Judgement, transaction: int) -> None:
        """Add one exchange, behind those that its connection has already."""
        if judgement.possible or judgement.given_up_ns >= 0 or judgement.frames:
            self._judged[len(self._single)] = judgement
        self._single.append(
            (
                rank,
                pair.request.index if pair.request is not None else 0,
                pair.response.index if pair.response is not None else 0,
                PROOF_CODES[pair.proof],
                OUTCOME_CODES[judgement.outcome],
                transaction,
                pair.delivered,
            )
        )

    def arrange(self) -> None:
        """Put all exchanges in the order of their connections; those of one connection as they came."""
        if not self._single:
            return
        single = [integers(list(values)) for values in zip(*self._single, strict=True)]
        plain = (
            self.rank, self.request, self.response, self.proof, self.outcome, self.transaction, self.delivered,
        )  # fmt: skip
        columns = [np.concatenate(parts) for parts in zip(plain, single, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        columns = [column[order] for column in columns]
        self.rank, self.request, self.response, self.proof, self.outcome, self.transaction, self.delivered = columns
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.judged = {int(place[at]): judgement for at, judgement in self.judged.items()}
        self.judged |= {int(place[len(plain[0]) + at]): judgement for at, judgement in self._judged.items()}
        self._single = []
