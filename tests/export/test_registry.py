"""The exporters are found by being there."""

import io

import pytest
from tests.support.cases import build_analysis, case_of

from wiretrace.export.registry import known_exporters


def test_the_formats_of_the_folder_are_found() -> None:
    assert {"json", "jsonl"} <= set(known_exporters())


@pytest.mark.parametrize("name", known_exporters())
def test_equal_cases_give_equal_files(name: str) -> None:
    """Every exporter, also one that is added later, is deterministic and describes itself."""
    exporter = known_exporters()[name]
    first, second = io.BytesIO(), io.BytesIO()
    exporter().write(case_of(build_analysis(70)), first)
    exporter().write(case_of(build_analysis(70)), second)
    assert first.getvalue() == second.getvalue() != b""
    assert exporter.sentence.endswith(".")
