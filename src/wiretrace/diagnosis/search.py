"""Which trees of a case satisfy a filter, as the report finds them (report/assets/search.js).

Calls are read a piece at a time. Text is looked at once per distinct word of a piece; then only numbers are compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wiretrace.case.ids import RowsOfIds
from wiretrace.diagnosis.columns import party_codes
from wiretrace.diagnosis.filter import FieldTerm, Filter, WordTerm, text_matches
from wiretrace.diagnosis.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wiretrace.case.reader import Case

COLUMNS = (
    *(
        "id",
        "tree",
        "parent",
        "question",
        "start_ns",
        "end_ns",
        "protocol",
        "operation",
        "summary",
        "status",
        "outcome",
    ),
    *("retransmission_ns", "zero_window_ns"),
    *(f"{side}_{what}" for side in ("client", "server") for what in ("service", "host", "address")),
)
"""Columns of the table `calls` that are read."""
SEARCHED = ("summary", "operation", "client", "service", "status", "outcome", "protocol")
"""Fields that a word is looked for in."""
NO_ERROR = ("ok", "unfinished", "not_captured")
"""Outcomes that are not counted as errors."""
_ID = re.compile(r"[0-9a-f]{4,16}")
_PATH = re.compile(r"[A-Z]+ (?:[a-z]+://[^/ ]*)?(/[^? ]*)")


def find_trees(case: Case, wanted: Filter) -> NDArray[np.bool_]:
    """Whether each tree of a case satisfies a filter, by row of the table `trees`. Raises UserError if it is damaged."""
    trees = case.columns("trees", ["tree", "start_ns", "duration_ns"])
    rows_of_trees = RowsOfIds.of(trees["tree"])
    terms: list[WordTerm | FieldTerm] = [*wanted.words, *(term for term in wanted.fields if not _is_of_tree(term))]
    found = [np.zeros(len(trees), np.bool_) for _ in terms]
    numbers = {name: np.zeros(len(trees), np.int64) for name in ("calls", "errors", "questions")}
    for table in case.pieces("calls", COLUMNS):
        piece = _Piece(table, rows_of_trees.rows(table["tree"]))
        for term, is_found in zip(terms, found, strict=True):
            is_found[piece.tree[piece.satisfying(term) & (piece.tree >= 0)]] = True
        piece.count(numbers)
    kept = np.ones(len(trees), np.bool_)
    for term, is_found in zip(terms, found, strict=True):
        kept &= is_found != term.negated
    for of_tree in filter(_is_of_tree, wanted.fields):
        kept &= _compared(of_tree, trees, numbers) != of_tree.negated
    return kept


def _is_of_tree(term: FieldTerm) -> bool:
    return term.field in ("start", "calls", "errors", "questions") or (term.field == "duration" and not term.any_call)


def _compared(term: FieldTerm, trees: pa.Table, numbers: dict[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    """Which trees satisfy a term about a number of theirs."""
    if term.field == "start":
        return _compare(trees["start_ns"].to_numpy(), term.operator, term.time)
    values = trees["duration_ns"].to_numpy() if term.field == "duration" else numbers[term.field]
    return _compare(values, term.operator, term.number)


def _compare(values: NDArray[np.int64], operator: str, bound: float) -> NDArray[np.bool_]:
    ways = {
        "=": np.equal,
        "!=": np.not_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "<": np.less,
        "<=": np.less_equal,
    }
    return np.asarray(ways[operator](values, bound), np.bool_)


class _Piece:
    """Some calls."""

    def __init__(self, table: pa.Table, tree: NDArray[np.int32]) -> None:
        self._table = table
        self.tree = tree
        """Row of the tree of each call; -1 where the case does not have it."""
        self._is_root = pc.is_null(table["parent"]).to_numpy()

    def satisfying(self, term: WordTerm | FieldTerm) -> NDArray[np.bool_]:
        """Which calls satisfy a term; where it is about roots, which of them."""
        return self._with_word(term.word) if isinstance(term, WordTerm) else self._with_field(term)

    def _with_word(self, word: str) -> NDArray[np.bool_]:
        found = np.zeros(len(self._table), np.bool_)
        for field in SEARCHED:
            found |= self._tested(field, lambda text: word in text.lower())
        if _ID.fullmatch(word):
            found |= self._tested("id", lambda text: text.startswith(word))
        return found

    def _with_field(self, term: FieldTerm) -> NDArray[np.bool_]:
        if term.field == "duration":
            found = _compare(
                self._table["end_ns"].to_numpy() - self._table["start_ns"].to_numpy(), term.operator, term.number
            )
        elif term.field == "stalled":
            stalled = self._table["retransmission_ns"].to_numpy() + self._table["zero_window_ns"].to_numpy()
            found = _compare(stalled, term.operator, term.number)
        elif term.field == "path":
            found = self._tested("summary", lambda text: text_matches(term, _path(text)))
        else:
            found = self._tested(term.field, lambda text: text_matches(term, text))
        return found if term.any_call else found & self._is_root

    def count(self, numbers: dict[str, NDArray[np.int64]]) -> None:
        """Add the calls, errors and questions to those of their trees."""
        tree = self.tree[self.tree >= 0]
        failed = ~self._tested("outcome", lambda text: text in NO_ERROR)[self.tree >= 0]
        question = pc.fill_null(self._table["question"], False).to_numpy()[self.tree >= 0]
        for name, weights in (("calls", None), ("errors", failed), ("questions", question)):
            numbers[name] += np.bincount(tree, weights, len(numbers[name])).astype(np.int64)

    def _tested(self, field: str, test: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Which calls' texts satisfy a test."""
        codes, words = self._words(field)
        return np.array([test(word) for word in words], np.bool_)[codes]

    def _words(self, field: str) -> tuple[NDArray[np.int64], list[str]]:
        """The distinct texts of a field, and which of them each call has."""
        if field in ("client", "service"):
            parties = Names[str]()
            codes = party_codes(self._table, "client" if field == "client" else "server", parties)
            return codes, parties.things or [""]
        if field == "host":
            hosts = self._table["server_host"].cast(pa.string())
            named = pc.fill_null(pc.not_equal(hosts, ""), False)
            column = pc.if_else(named, hosts, self._table["server_address"].cast(pa.string()))
        else:
            column = self._table[field].cast(pa.string())
        encoded = pa.chunked_array([pc.fill_null(column, "").combine_chunks()]).combine_chunks().dictionary_encode()
        return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64), encoded.dictionary.to_pylist() or [
            ""
        ]


def _path(summary: str) -> str:
    """The path in a summary such as "GET /orders/42?page=2"; empty if it has none."""
    match = _PATH.match(summary)
    return match[1] if match else ""
