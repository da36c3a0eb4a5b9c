"""A case exists whole or not at all, never replaces what it should not, and is equal for equal inputs."""

import errno
import itertools
import random
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cases import build_analysis, build_case, write_case

from wiretrace.case import writer as writer_module
from wiretrace.case.manifest import Manifest
from wiretrace.case.reader import Case
from wiretrace.case.writer import ROW_GROUP_ROWS, CaseWriter, _row_groups
from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.settings import Settings
from wiretrace.model.tables import TABLES


def contents(case: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in case.iterdir()}


def test_equal_inputs_give_byte_equal_cases(tmp_path: Path) -> None:
    build_case(tmp_path / "one.case")
    build_case(tmp_path / "two.case")
    assert contents(tmp_path / "one.case") == contents(tmp_path / "two.case")


def test_chunks_and_dictionaries_do_not_change_the_bytes(tmp_path: Path) -> None:
    """The same rows in other chunks, with dictionaries in another order, make the same case."""
    analysis = build_analysis()
    write_case(tmp_path / "one.case", analysis, Settings())
    for name, table in analysis.tables.items():
        pieces = [table.slice(begin, 7) for begin in range(0, len(table), 7)]
        decoded = [
            pa.table(
                {
                    field.name: piece[field.name].cast(pa.string()).combine_chunks().dictionary_encode()
                    if pa.types.is_dictionary(field.type)
                    else piece[field.name]
                    for field in table.schema
                }
            )
            for piece in pieces
        ]
        analysis.tables[name] = pa.concat_tables(decoded) if decoded else table
    write_case(tmp_path / "two.case", analysis, Settings(jobs=8))
    assert contents(tmp_path / "one.case") == contents(tmp_path / "two.case")


def test_streamed_batches_are_regrouped_into_full_row_groups(tmp_path: Path) -> None:
    """Small batches do not become small row groups, and no row is lost at their seams."""
    rows = ROW_GROUP_ROWS + 1000
    chance = random.Random(3)

    def batches():
        done = 0
        while done < rows:
            size = min(chance.randrange(1, 30_000), rows - done)
            yield pa.record_batch(
                {
                    "kind": pa.array(["encrypted"] * size),
                    "subject": pa.array([str(number) for number in range(done, done + size)]),
                    "count": pa.array(range(done, done + size), pa.int64()),
                    "sentence": pa.array(["x"] * size),
                }
            )
            done += size

    with CaseWriter(tmp_path / "a.case") as writer:
        writer.write_table("notes", batches())
        writer.commit(Manifest())
    metadata = pq.read_metadata(tmp_path / "a.case" / "notes.parquet")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [ROW_GROUP_ROWS, 1000]
    assert Case.open(tmp_path / "a.case").table("notes")["count"].to_pylist() == list(range(rows))


@given(st.lists(st.integers(0, 120), min_size=1, max_size=60), st.data())
def test_a_row_group_ends_where_its_text_gets_long(lengths: list[int], data: st.DataObject) -> None:
    """After as many rows as fit, at least one, however the rows arrive: the same in plain Python. No row is lost."""
    most_rows, most_text = 9, 100
    schema = pa.schema([("number", pa.int64()), ("text", pa.string())])
    rows = pa.table({"number": range(len(lengths)), "text": ["x" * length for length in lengths]}, schema)
    cuts = sorted({0, len(lengths), *data.draw(st.lists(st.integers(0, len(lengths)), max_size=5))})
    batches = [batch for a, b in itertools.pairwise(cuts) for batch in rows.slice(a, b - a).to_batches()]
    expected: list[list[int]] = [[]]
    for number, length in enumerate(lengths):
        text = sum(lengths[each] for each in expected[-1])
        if expected[-1] and (len(expected[-1]) == most_rows or text + length >= most_text):
            expected.append([])
        expected[-1].append(number)
    with mock.patch.multiple(writer_module, ROW_GROUP_ROWS=most_rows, ROW_GROUP_TEXT=most_text):
        groups = list(_row_groups(batches, schema))
    assert [group["number"].to_pylist() for group in groups] == expected
    assert all(group["text"].num_chunks == 1 for group in groups)


def test_an_abandoned_case_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CaseWriter(tmp_path / "a.case") as writer:
        writer.write_table("calls", build_analysis().tables["calls"])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(
        UserError, match=r"a\.case: the case can not be written: no space is left on the device; make room"
    ):
        write_case(tmp_path / "a.case", build_analysis(), Settings())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_case_is_replaced_only_on_demand(tmp_path: Path) -> None:
    build_case(tmp_path / "a.case", calls=70)
    before = contents(tmp_path / "a.case")
    with pytest.raises(UserError, match="--overwrite"):
        build_case(tmp_path / "a.case", calls=140)
    assert contents(tmp_path / "a.case") == before
    case = build_case(tmp_path / "a.case", calls=140, overwrite=True)
    assert len(case.table("calls")) == 140
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.case"]


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_case_is_never_replaced(tmp_path: Path, kind: str) -> None:
    """--overwrite replaces cases; it does not delete a directory of the user's that happens to have the name."""
    target = tmp_path / "thing"
    if kind == "file":
        target.write_text("mine")
    elif kind == "directory":
        target.mkdir()
        (target / "mine").write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a case is already there"):
        write_case(target, build_analysis(70), Settings(), overwrite=True)
    assert target.is_symlink() or target.exists()


def test_an_empty_directory_takes_a_case(tmp_path: Path) -> None:
    """`-o $(mktemp -d)` works."""
    (tmp_path / "empty").mkdir()
    assert len(build_case(tmp_path / "empty", calls=70).table("calls")) == 70


def test_settings_that_change_results_are_recorded_and_others_are_not(tmp_path: Path) -> None:
    write_case(
        tmp_path / "a.case", build_analysis(70), Settings(keep_values=True, jobs=5, limits=Limits(connections=9))
    )
    manifest = Manifest.read(tmp_path / "a.case")
    assert manifest.keeps_values
    assert "jobs" not in manifest.settings
    assert manifest.settings["limits"]["connections"] == 9  # type: ignore[index]


def test_a_table_that_was_not_written_is_empty(tmp_path: Path) -> None:
    with CaseWriter(tmp_path / "a.case") as writer:
        writer.commit(Manifest())
    case = Case.open(tmp_path / "a.case")
    assert {len(case.table(name)) for name in TABLES} == {0}
