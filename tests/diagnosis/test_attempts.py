"""Which calls are attempts at the same: none, where no content is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.support.cases import build_analysis, case_of

from wiretrace.diagnosis.attempts import AttemptFinder
from wiretrace.diagnosis.examination import Examination


def test_without_contents_nothing_is_an_attempt_at_the_same(tmp_path: Path) -> None:
    """What is opaque or was refused has no digest of its request, and may be all that failed."""
    analysis = build_analysis(2800)
    exchanges = analysis.tables["exchanges"]
    place = exchanges.schema.get_field_index("request_digest")
    field = exchanges.schema.field(place)
    nothing = pa.array(np.zeros(len(exchanges), np.uint64)).cast(field.type)
    analysis.tables["exchanges"] = exchanges.set_column(place, field, nothing)
    examination = Examination(case_of(analysis), tmp_path, 400)
    finder = AttemptFinder(examination.whole)
    failed = 0
    for portion in examination.trees():
        finder.see_trees(portion)
        failed += int(portion.failed.sum())
    assert failed
    for _ in examination.trees_with_symptoms():
        pass
    assert [len(finder.find(portion).later) for portion in examination.in_order()] == [0] * 7
