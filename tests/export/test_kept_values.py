"""A file of a case whose values were kept says so, in every format that has a place for it; others do not."""

import io

import pytest
from tests.support.cases import build_analysis, case_of

from wiretrace.export.contract import VALUES_KEPT
from wiretrace.export.registry import known_exporters
from wiretrace.model.settings import Settings


@pytest.mark.parametrize("name", ["otlp", "jaeger", "zipkin", "perfetto", "parquet"])
def test_kept_values_are_marked(name: str) -> None:
    for keep_values in (True, False):
        stream = io.BytesIO()
        known_exporters()[name]().write(case_of(build_analysis(7), Settings(keep_values=keep_values)), stream)
        assert (VALUES_KEPT.encode() in stream.getvalue()) == keep_values
