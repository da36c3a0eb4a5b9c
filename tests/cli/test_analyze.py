"""Analyze finds the captures, runs the pipeline, and writes what was asked for, whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from tests.support.cases import build_analysis
from tests.support.command_line import invoke

from wiretrace.case.reader import Case
from wiretrace.cli.analyze import captures_in
from wiretrace.model.analysis import Analysis
from wiretrace.model.errors import UserError
from wiretrace.model.progress import Progress
from wiretrace.model.settings import Settings

PCAP = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16)


class RecordedPipeline:
    """Stands in for the pipeline: notes what it was given, and returns a synthetic analysis."""

    def __init__(self) -> None:
        self.runs: list[tuple[list[Path], Settings]] = []

    def __call__(self, captures: Sequence[Path], settings: Settings, progress: Progress) -> Analysis:
        self.runs.append((list(captures), settings))
        progress.stage("reading captures")
        progress.advance(1, 2)
        return build_analysis(140)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordedPipeline:
    recorded = RecordedPipeline()
    monkeypatch.setattr("wiretrace.pipeline.analyze", recorded, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("web.pcap").write_bytes(PCAP)
    return recorded


def test_the_answer_is_printed_and_nothing_kept_without_a_name(pipeline: RecordedPipeline, tmp_path: Path) -> None:
    text = invoke(["analyze", "web.pcap"])
    assert text.startswith("140 calls in 20 request trees")
    assert "Nothing was kept. Give -o CASE" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["web.pcap"]
    assert pipeline.runs == [([Path("web.pcap")], Settings())]


def test_a_case_and_json_are_written_where_they_are_wanted(pipeline: RecordedPipeline) -> None:
    text = invoke(["analyze", "web.pcap", "-o", "a.case", "--json", "a.json", "--jsonl", "a.jsonl", "--jobs", "2"])
    assert "wiretrace show a.case " in text
    assert len(Case.open(Path("a.case")).table("calls")) == 140
    assert json.loads(Path("a.json").read_text())["schema"] == "wiretrace.trees/1"
    assert len(Path("a.jsonl").read_text().splitlines()) == 140
    assert pipeline.runs[0][1].jobs == 2


def test_json_on_standard_output_stands_alone(pipeline: RecordedPipeline) -> None:
    assert json.loads(invoke(["analyze", "web.pcap", "--json", "-"]))["accounting"]["unexplained"] == 0
    assert {json.loads(line)["tree"] for line in invoke(["analyze", "web.pcap", "--jsonl", "-"]).splitlines()}


def test_an_existing_case_stops_the_work_before_it_begins(pipeline: RecordedPipeline) -> None:
    """Nobody waits an hour to hear that the name is taken."""
    invoke(["analyze", "web.pcap", "-o", "a.case"])
    with pytest.raises(UserError, match="--overwrite"):
        invoke(["analyze", "web.pcap", "-o", "a.case"])
    assert len(pipeline.runs) == 1
    invoke(["analyze", "web.pcap", "-o", "a.case", "--overwrite"])
    assert len(pipeline.runs) == 2


def test_kept_values_are_marked_in_every_output(pipeline: RecordedPipeline) -> None:
    assert "--keep-values" in invoke(["analyze", "web.pcap", "-o", "a.case", "--keep-values"])
    assert pipeline.runs[0][1].keep_values
    assert "--keep-values" in invoke(["show", "a.case"])


def test_two_results_can_not_share_standard_output(pipeline: RecordedPipeline) -> None:
    with pytest.raises(click.UsageError):
        invoke(["analyze", "web.pcap", "--json", "-", "--jsonl", "-"])
    assert pipeline.runs == []


def test_a_directory_is_searched_for_captures_by_their_first_bytes(tmp_path: Path) -> None:
    """Whatever the names of rotated files are; other files and hidden ones are left alone."""
    (tmp_path / "web1").mkdir()
    (tmp_path / "web1" / "trace.2").write_bytes(PCAP)
    (tmp_path / "web1" / "trace.1").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(24))
    (tmp_path / "app.pcap.gz").write_bytes(b"\x1f\x8b" + bytes(24))
    (tmp_path / "log.gz").write_bytes(b"\x1f\x8b" + bytes(24))
    (tmp_path / ".hidden.pcap").write_bytes(PCAP)
    (tmp_path / "notes.pcap.txt").write_text("notes")
    found = captures_in((tmp_path,))
    assert [str(path.relative_to(tmp_path)) for path in found] == ["app.pcap.gz", "web1/trace.1", "web1/trace.2"]


def test_what_holds_no_capture_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no capture file in this directory"):
        captures_in((tmp_path,))
    with pytest.raises(UserError, match="there is no such file"):
        captures_in((tmp_path / "missing.pcap",))


def test_a_named_file_is_never_guessed_about(tmp_path: Path) -> None:
    """The reader of captures says what is wrong with it, not the search."""
    (tmp_path / "odd.bin").write_bytes(b"odd")
    assert captures_in((tmp_path / "odd.bin",)) == [tmp_path / "odd.bin"]
