"""A case is checked before it is believed, and SQL over it can reach nothing else."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cases import build_analysis, build_case, case_of

from wiretrace.case.manifest import MANIFEST_NAME, SCHEMA_VERSION
from wiretrace.case.reader import Case
from wiretrace.model.errors import UserError
from wiretrace.model.schema import table_schema
from wiretrace.model.tables import TABLES


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "a.case"
    build_case(path, calls=140)
    return path


def copy(stored: Path, target: Path) -> Path:
    target.mkdir()
    for file in stored.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_tables_come_back_as_they_were_written(stored: Path) -> None:
    analysis = build_analysis(140)
    case = Case.open(stored)
    for name in TABLES:
        assert case.table(name).schema.equals(table_schema(name)), name
        assert case.table(name).to_pylist() == analysis.tables[name].to_pylist()
    assert case.manifest.accounting == analysis.accounting
    assert case.manifest.inputs == analysis.inputs


def test_some_columns_and_some_rows_are_those_of_the_table(stored: Path) -> None:
    """Whether the whole table was read before or not."""
    for case in (Case.open(stored), case_of(build_analysis(140))):
        calls = case_of(build_analysis(140)).table("calls")
        assert case.columns("calls", ["id", "operation"]).to_pylist() == calls.select(["id", "operation"]).to_pylist()
        tree = calls.column("tree")[7].as_py()
        wanted = [row for row in calls.to_pylist() if row["tree"] == tree]
        assert case.rows("calls", "tree", tree).to_pylist() == wanted
        assert case.rows("calls", "tree", "none").schema.equals(table_schema("calls"))


def test_every_table_is_a_view(stored: Path) -> None:
    case = Case.open(stored)
    for name in TABLES:
        relation = case.query(f"SELECT * FROM {name}")
        assert relation is not None
        assert relation.columns == [column.name for column in TABLES[name]]
        assert len(relation.fetchall()) == len(case.table(name))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "COPY calls TO 'out.csv'",
        "ATTACH 'out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET python_enable_replacements = true",
        "SELECT * FROM python_variable",
        "SELECT * FROM read_csv('https://example.com/x.csv')",
        "EXPORT DATABASE 'out'",
    ],
)
def test_sql_reaches_no_file_network_extension_or_variable(
    stored: Path, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    python_variable = pa.table({"secret": [1]})
    with pytest.raises(UserError) as caught:
        Case.open(stored).query(sql)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert len(python_variable) == 1


def test_wrong_sql_is_one_line(stored: Path) -> None:
    with pytest.raises(UserError, match="nowhere") as caught:
        Case.open(stored).query("SELECT nowhere\nFROM calls")
    assert "\n" not in str(caught.value)


def test_what_is_not_a_case_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such case"):
        Case.open(tmp_path / "missing")
    with pytest.raises(UserError, match=r"not a case: it has no manifest\.json"):
        Case.open(tmp_path)
    file = tmp_path / "file.pcap"
    file.write_bytes(b"\xd4\xc3\xb2\xa1")
    with pytest.raises(UserError, match="not a case"):
        Case.open(file)


def test_a_newer_case_is_refused_with_both_versions(stored: Path, tmp_path: Path) -> None:
    case = copy(stored, tmp_path / "b.case")
    manifest = json.loads((case / MANIFEST_NAME).read_text())
    manifest["schema_version"] = SCHEMA_VERSION + 1
    (case / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"version {SCHEMA_VERSION + 1}, this one reads {SCHEMA_VERSION}"):
        Case.open(case)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format":"other"}', '{"format":"wiretrace.case","inputs":7}'])
def test_a_damaged_manifest_is_one_line(stored: Path, tmp_path: Path, text: str) -> None:
    case = copy(stored, tmp_path / "b.case")
    (case / MANIFEST_NAME).write_text(text)
    with pytest.raises(UserError) as caught:
        Case.open(case)
    assert "\n" not in str(caught.value)


def test_a_missing_table_and_a_wrong_column_are_named(stored: Path, tmp_path: Path) -> None:
    case = copy(stored, tmp_path / "b.case")
    pq.write_table(pa.table({"kind": [1]}), case / "notes.parquet")
    with pytest.raises(UserError, match="column kind of the table notes"):
        Case.open(case)
    (case / "calls.parquet").unlink()
    with pytest.raises(UserError, match="table calls is missing"):
        Case.open(case)


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_table_is_an_error_or_reads_the_same(
    stored: Path, tmp_path_factory: pytest.TempPathFactory, position: float, flip: int
) -> None:
    """A changed byte never crashes the reader, and never changes what it returns without a word."""
    case = copy(stored, tmp_path_factory.mktemp("damaged") / "b.case")
    file = case / "calls.parquet"
    damaged = bytearray(file.read_bytes())
    damaged[int(position * len(damaged))] ^= flip
    file.write_bytes(damaged)
    expected = Case.open(stored).table("calls")
    try:
        found = Case.open(case).table("calls")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert found.to_pylist() == expected.to_pylist()


@pytest.mark.parametrize(
    ("table", "column", "value", "words"),
    [
        ("hosts", "clock_error_ns", float("nan"), "the column clock_error_ns holds what is no number"),
        ("calls", "confidence", float("inf"), "the column confidence holds what is no number"),
        ("calls", "start_ns", None, "the column start_ns has holes"),
        ("links", "child", None, "the column child has holes"),
    ],
)
def test_values_that_are_never_written_are_damage(
    stored: Path, tmp_path: Path, table: str, column: str, value: float | None, words: str
) -> None:
    """A case that somebody made by hand: of the right types, and with values that no case holds."""
    case = copy(stored, tmp_path / "b.case")
    read = pq.read_table(case / f"{table}.parquet")
    place = read.schema.names.index(column)
    wrong = pa.array([value] * len(read), read.schema.field(column).type)
    pq.write_table(read.set_column(place, read.schema.field(column), wrong), case / f"{table}.parquet")
    opened = Case.open(case)
    for attempt in (lambda: opened.table(table), lambda: list(opened.pieces(table, [column]))):
        with pytest.raises(UserError, match=words):
            attempt()


@pytest.mark.parametrize("name", [MANIFEST_NAME, "calls.parquet"])
def test_a_pipe_in_a_case_is_not_waited_for(stored: Path, tmp_path: Path, name: str) -> None:
    case = copy(stored, tmp_path / "b.case")
    (case / name).unlink()
    os.mkfifo(case / name)
    with pytest.raises(UserError, match=r"is no file|is missing"):
        Case.open(case)
