"""Analyze finds the captures, runs the pipeline, and writes what was asked for, whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from tests.support.cases import build_analysis, fill
from tests.support.command_line import invoke

from wiretrace.case.reader import Case
from wiretrace.case.writer import CaseWriter
from wiretrace.model.errors import UserError
from wiretrace.model.progress import Progress
from wiretrace.model.settings import Settings

PCAP = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16)


class RecordedPipeline:
    """Stands in for the pipeline: notes what it was given, and writes a synthetic case."""

    def __init__(self) -> None:
        self.runs: list[tuple[list[Path], Settings]] = []

    def __call__(self, captures: Sequence[Path], settings: Settings, progress: Progress, writer: CaseWriter) -> None:
        self.runs.append((list(captures), settings))
        progress.stage("reading captures")
        progress.advance(1, 2)
        fill(writer, build_analysis(140), settings)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordedPipeline:
    recorded = RecordedPipeline()
    monkeypatch.setattr("wiretrace.pipeline.analyze", recorded)
    monkeypatch.chdir(tmp_path)
    Path("web.pcap").write_bytes(PCAP)
    return recorded


def test_the_answer_is_printed_and_nothing_kept_without_a_name(pipeline: RecordedPipeline, tmp_path: Path) -> None:
    text = invoke(["analyze", "web.pcap"])
    assert text.startswith("20 requests, ")
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


def test_real_captures_go_the_whole_way(tmp_path: Path) -> None:
    """With the pipeline itself: a folder of captures in, a case whose bytes are all accounted for out."""
    demo = Path(__file__).parent.parent.parent / "pcaps" / "shop"
    text = invoke(["analyze", demo, "-o", tmp_path / "shop.case", "--html", tmp_path / "report.html", "--jobs", "1"])
    case = Case.open(tmp_path / "shop.case")
    assert f" failed: {len(case.table('calls')):,} calls, from 8 captures" in text
    assert "Unexplained: 0 bytes." in text
    assert (tmp_path / "report.html").read_bytes().lower().startswith(b"<!doctype html>")


def test_what_is_no_capture_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "odd.bin").write_bytes(b"odd")
    for given in (tmp_path, tmp_path / "odd.bin", tmp_path / "missing.pcap"):
        with pytest.raises(UserError, match=r"^[^\n]+$"):
            invoke(["analyze", given])
