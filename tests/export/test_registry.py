"""The exporters are found by being there."""

import io

import pytest
from tests.support.cases import build_analysis

from wiretrace.case.reader import Case
from wiretrace.export.registry import known_exporters
from wiretrace.model.settings import Settings


def test_the_formats_of_the_folder_are_found() -> None:
    assert {"json", "jsonl"} <= set(known_exporters())


@pytest.mark.parametrize("name", known_exporters())
def test_equal_cases_give_equal_files(name: str) -> None:
    """Every exporter, also one that is added later, is deterministic and describes itself."""
    exporter = known_exporters()[name]
    first, second = io.BytesIO(), io.BytesIO()
    exporter().write(Case.of(build_analysis(70), Settings()), first)
    exporter().write(Case.of(build_analysis(70), Settings()), second)
    assert first.getvalue() == second.getvalue() != b""
    assert exporter.sentence.endswith(".")
