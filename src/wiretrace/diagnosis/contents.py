"""What requests ask for, as one number each: equal where path, size and all values of two requests are equal.

The digest of a request names its path only, for a body may not be at hand at every vantage point. Here it is joined with the
keyed hashes of the values and with the size, as the view that is looked at has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.case.rows import RowReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

MIXER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number without pattern (2**64 divided by the golden ratio): products of it spread over all bits."""


class Contents:
    """Reads the contents of requests. Raises UserError if the case is damaged."""

    def __init__(self, case: Case) -> None:
        self._reader = RowReader(case, "exchanges", ["request_digest", "request_bytes", "request_tokens"])

    def of(self, exchange: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
        """The content of the request in each row of `exchanges`; 0 for -1. Shapes (n,)."""
        known = np.flatnonzero(exchange >= 0)
        found = np.zeros(len(exchange), np.uint64)
        if not len(known):
            return found
        order = known[np.argsort(exchange[known], kind="stable")]
        taken = self._reader.take(exchange[order])
        tokens = taken.column("request_tokens").combine_chunks()
        lengths = tokens.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        ends = np.cumsum(lengths)
        summed = np.append(np.uint64(0), np.cumsum(tokens.flatten().to_numpy() * MIXER, dtype=np.uint64))
        content = summed[ends] - summed[ends - lengths]
        content = content * MIXER + taken.column("request_bytes").to_numpy().astype(np.uint64)
        content = content * MIXER + taken.column("request_digest").to_numpy()
        found[order] = np.maximum(content, np.uint64(1))
        return found
