"""Reports that hold packets: only on demand, said on the page, and the very packets of the captures."""

import base64
import hashlib
import re
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.report.conftest import Opener
from tests.support.cases import analyzed
from tests.support.command_line import run

from wiretrace.case.reader import Case
from wiretrace.model.errors import UserError
from wiretrace.model.limits import Limits
from wiretrace.model.note import Notes
from wiretrace.model.settings import Settings
from wiretrace.packets.columns import FlowTable
from wiretrace.packets.extract import CapturePackets, extract
from wiretrace.packets.reader import CaptureReader
from wiretrace.report import write_report

SHOP = Path(__file__).parents[2] / "pcaps" / "shop"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return analyzed(tmp_path_factory.mktemp("shop") / "shop.case", [SHOP], Settings(jobs=1))


def files_of(case: Case) -> dict[str, list[tuple[Path, str]]]:
    return {row["capture"]: [(Path(row["path"]), row["sha256"])] for row in case.table("captures").to_pylist()}


def packets_of(path: Path) -> list[tuple[int, bytes]]:
    """Time and bytes of every packet of a capture file."""
    found = []
    for buffer, records in CaptureReader(path, FlowTable(), Limits(), Notes()).records():
        for offset, captured, time_ns in zip(records.offset, records.captured, records.time_ns, strict=True):
            found.append((int(time_ns), bytes(buffer.view[offset : offset + captured])))
    return found


def test_the_page_holds_the_very_packets_and_says_that_they_are_not_redacted(
    shop: Case, tmp_path: Path, open_report: Opener
) -> None:
    path = tmp_path / "report.html"
    write_report(shop, path, packets=CapturePackets(files_of(shop)))
    blocks = re.findall(r'id="packets-(\d+)">(.*?)</script>', path.read_text("utf-8"))
    assert blocks
    captured = {packet for files in files_of(shop).values() for packet in packets_of(files[0][0])}
    for number, text in blocks:
        copy = tmp_path / f"{number}.pcapng"
        copy.write_bytes(zlib.decompress(base64.b64decode(text)))
        packets = packets_of(copy)
        assert packets
        assert set(packets) <= captured
        assert [time for time, _ in packets] == sorted(time for time, _ in packets)
    page = open_report(path, "#/about")
    expect(page.locator(".banner")).to_contain_text("captured packets as they were, not redacted")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the packets of").first.click()
    assert Path(download.value.path()).read_bytes() == (tmp_path / "0.pcapng").read_bytes()


def test_no_packet_is_in_a_report_that_nobody_asked_to_hold_them(shop: Case, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(shop, path)
    assert 'id="packets-' not in path.read_text("utf-8")


def test_a_capture_that_has_changed_is_refused(shop: Case, tmp_path: Path) -> None:
    original = next(iter(files_of(shop).values()))[0][0]
    changed = tmp_path / "changed.pcap"
    changed.write_bytes(original.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="has changed since it was analyzed"):
        extract("web", changed, hashlib.sha256(original.read_bytes()).hexdigest(), [1])


def test_packets_of_a_capture_of_several_files_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stands in 2 files"):
        CapturePackets({"web": [(tmp_path / "a", ""), (tmp_path / "b", "")]}).read({"web": [1]})


def test_the_command_tells_where_a_capture_is_missing(tmp_path: Path) -> None:
    capture = tmp_path / "web.pcap"
    capture.write_bytes(next(path for path in sorted(SHOP.iterdir()) if "web" in path.name).read_bytes())
    assert run(["analyze", capture, "-o", tmp_path / "a.case"]).returncode == 0
    made = run(["report", tmp_path / "a.case", "--with-packets", "-o", tmp_path / "report.html"])
    assert (made.returncode, made.stderr) == (0, "")
    capture.unlink()
    result = run(["report", tmp_path / "a.case", "--with-packets", "-o", tmp_path / "again.html"])
    assert result.returncode == 1
    assert result.stderr.startswith(f"wiretrace: {capture}: ")
    assert not (tmp_path / "again.html").exists()
