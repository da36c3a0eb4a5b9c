"""Takes rows of a table by their numbers while only a few row groups of it are in memory.

For rows that are asked for roughly in the order of the table, as calls in the order of their trees are: any order gives
the same rows, but one that jumps about reads row groups again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from wiretrace.model.schema import table_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

GROUPS_KEPT = 4
"""Row groups that are kept in memory where nobody says how many; the one that was not needed for the longest time goes."""


class RowReader:
    """Some columns of a table, by row."""

    def __init__(
        self, case: Case, table: str, columns: Sequence[str], kept: int = GROUPS_KEPT, repeating: Sequence[str] = ()
    ) -> None:
        """`kept`: how many row groups are kept in memory; `repeating`: columns of text each value of which is held once."""
        self._case = case
        self._table = table
        self.columns = list(columns)
        """Names of the columns."""
        self._starts = case.group_starts(table)
        self._most_kept = kept
        self._repeating = repeating
        self._kept: dict[int, pa.Table] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.integer[Any]]) -> pa.Table:
        """The rows with these numbers, in their order. Shape (n,); all are at least 0 and below `len`.

        Raises UserError if the table is damaged.
        """
        groups = np.searchsorted(self._starts, rows, "right") - 1
        order = np.argsort(groups, kind="stable")
        bounds = np.flatnonzero(np.diff(groups[order], prepend=-1, append=-1))
        parts = []
        for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            of_group = order[begin:end]
            number = int(groups[of_group[0]])
            parts.append(self._group(number).take(pa.array(rows[of_group] - self._starts[number])))
        if not parts:
            return pa.schema([table_schema(self._table).field(name) for name in self.columns]).empty_table()
        if len(parts) == 1:
            return parts[0]
        back = np.empty(len(rows), np.int64)
        back[order] = np.arange(len(rows))
        return pa.concat_tables(parts).unify_dictionaries().combine_chunks().take(pa.array(back))

    def _group(self, number: int) -> pa.Table:
        group = self._kept.pop(number, None)
        if group is None:
            if len(self._kept) == self._most_kept:
                del self._kept[next(iter(self._kept))]
            group = self._case.group(self._table, number, self.columns).combine_chunks()
            for name in self._repeating:
                group = group.set_column(group.column_names.index(name), name, group[name].dictionary_encode())
        self._kept[number] = group
        return group
