"""What is wrong, in one sentence: the same for a person at the terminal and for one at the report.

Rules: a finding comes first; then calls that failed though no rule told of them; then requests that were slow. That nothing
is wrong is said only where there is none of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wiretrace.case.files import temporary_folder
from wiretrace.case.forest import topmost_calls
from wiretrace.case.rows import RowReader
from wiretrace.diagnosis.examination import Examination
from wiretrace.diagnosis.failures import CallsOfTrees, Failure, FailureBook, Harm
from wiretrace.model.finding import Severity
from wiretrace.model.outcome import Outcome
from wiretrace.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wiretrace.case.reader import Case
    from wiretrace.diagnosis.portion import Portion

WELL = "Nothing is wrong that these captures show."
UNANSWERED = frozenset(str(outcome).replace("_", " ") for outcome in Outcome)
"""How calls fail that are not answered with an error."""


def headline(findings: Sequence[dict[str, Any]], failures: Sequence[Failure], requests: int, slow: int) -> str:
    """What is wrong, or that nothing is. Empty where there is neither a request nor a failure that is worth a headline.

    `findings` are rows of that table, the gravest first; `failures` need not be given where one of them is graver than
    information. `slow` of the `requests` were slow.
    """
    grave = [row["title"] for row in findings if row["severity"] != Severity.INFO]
    if grave:
        return str(grave[0])
    if failed := what_failed(failures, requests):
        return failed
    if slow:
        return f"No request failed; {slow:,} of {requests:,} were slow against their own usual."
    return WELL if requests else ""


def what_failed(failures: Sequence[Failure], requests: int) -> str:
    """The gravest of the failures that are worth a headline, in a sentence; empty where none is."""
    worst = next((each for each in failures if _is_worth_a_headline(each)), None)
    if worst is None:
        return ""
    told = f"{worst.failed:,} of {counted(worst.calls, 'call')} {worst.operation} ({worst.service})"
    survived = requests and worst.harm is not Harm.BROKE_REQUEST
    return f"{f'No request failed, but {told} did' if survived else f'{told} failed'}: {worst.word}."


def _is_worth_a_headline(failure: Failure) -> bool:
    """Not what the server only says of the request, nor an answer that says no while a connection is set up."""
    is_answered = failure.word not in UNANSWERED
    return not failure.is_client_error and not (is_answered and failure.harm is Harm.SET_UP)


def failures_of(case: Case) -> list[Failure]:
    """The kinds of failure of a case, the gravest first. Raises UserError if it is damaged."""
    with temporary_folder() as folder:
        examination = Examination(case, folder, details=False)
        book = FailureBook(examination.whole.vocabulary)
        for portion in examination.trees():
            book.add(calls_of_trees(portion))
        return book.failures(examination.whole.often, lambda rows: tree_ids(case, rows))


def calls_of_trees(portion: Portion) -> CallsOfTrees:
    """The calls of a portion of whole trees."""
    entering = portion.whole.enters(portion.kind, portion.caller_place, portion.is_root)
    _, size = trees_of(portion)
    return CallsOfTrees(
        *(portion.row, portion.kind, portion.ending, portion.end, portion.parent, size),
        *(entering, entering[portion.request]),
    )


def trees_of(portion: Portion) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The place of the root of each call's tree, which reaches through questions, and the calls in it. Shapes (n,)."""
    root = topmost_calls(portion.likely)
    return root, np.bincount(root, minlength=len(root))[root]


def tree_ids(case: Case, rows: list[int]) -> list[str]:
    """The tree of each of the calls in `rows`. Raises UserError if the case is damaged."""
    return RowReader(case, "calls", ["tree"]).take(np.array(rows, np.int64)).column("tree").to_pylist()  # type: ignore[no-any-return]
