"""Export writes to a file whole, or to standard output, and says which formats there are."""

import json
from pathlib import Path

import click
import pytest
from tests.support.cases import build_analysis, build_case, write_case
from tests.support.command_line import invoke, run

from wiretrace.export.registry import known_exporters
from wiretrace.model.errors import UserError
from wiretrace.model.settings import Settings


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "a.case"
    build_case(path, calls=70)
    return path


def test_a_file_is_what_standard_output_is(stored: Path, tmp_path: Path) -> None:
    printed = invoke(["export", stored, "--format", "jsonl"])
    assert invoke(["export", stored, "--format", "jsonl", "-o", tmp_path / "out.jsonl"]) == ""
    assert (tmp_path / "out.jsonl").read_text() == printed
    assert len(printed.splitlines()) == 70


def test_a_file_that_can_not_be_written_is_one_line(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a directory"):
        invoke(["export", stored, "--format", "json", "-o", tmp_path])


def test_the_formats_are_listed_without_a_case() -> None:
    lines = invoke(["export", "--list"]).splitlines()
    assert [line.split()[0] for line in lines] == list(known_exporters())


def test_an_unknown_format_is_a_usage_error_that_names_the_known(stored: Path) -> None:
    with pytest.raises(click.UsageError, match="json, jsonl"):
        invoke(["export", stored, "--format", "nonsense"])


def test_kept_values_are_told_on_standard_error(tmp_path: Path) -> None:
    """The exported file stays what its format says; the warning goes beside it."""
    write_case(tmp_path / "a.case", build_analysis(7), Settings(keep_values=True))
    result = run(["export", tmp_path / "a.case", "--format", "json"])
    assert "--keep-values" in result.stderr
    assert json.loads(result.stdout)["schema"] == "wiretrace.trees/1"
