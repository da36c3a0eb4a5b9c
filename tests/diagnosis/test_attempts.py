"""Which calls are attempts at the same: none, where no content is known."""

import numpy as np
import pyarrow as pa
from tests.support.cases import build_analysis, case_of

from wiretrace.diagnosis.attempts import attempts_of
from wiretrace.diagnosis.observed import Observed


def test_without_contents_nothing_is_an_attempt_at_the_same() -> None:
    """What is opaque or was refused has no digest of its request, and may be all that failed."""
    analysis = build_analysis(2800)
    exchanges = analysis.tables["exchanges"]
    place = exchanges.schema.get_field_index("request_digest")
    field = exchanges.schema.field(place)
    nothing = pa.array(np.zeros(len(exchanges), np.uint64)).cast(field.type)
    analysis.tables["exchanges"] = exchanges.set_column(place, field, nothing)
    observed = Observed(case_of(analysis))
    assert observed.failed.any()
    assert len(attempts_of(observed).later) == 0
