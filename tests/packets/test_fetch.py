"""Captures by standard input and by URL: from a real pipe, and from a real web server on loopback."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from tests.support.captures import START_NS, TcpConversation, pcap_bytes, write_pcap
from tests.support.command_line import COMMAND_SECONDS, PROGRAM, environment, run

from wiretrace.model.errors import UserError
from wiretrace.model.note import Notes
from wiretrace.model.side import Side
from wiretrace.packets.captures import find_captures
from wiretrace.packets.fetch import fetch, is_elsewhere, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.captures import Packet


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


def conversation(second: int = 0) -> list[Packet]:
    request, answer = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
    start = TcpConversation(start_ns=START_NS + second * 1_000_000_000).open()
    return start.send(Side.CLIENT, request).send(Side.SERVER, answer).close().packets


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL that it is served at."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("given", "elsewhere"),
    [
        ("-", True),
        ("https://host/a.pcap", True),
        ("s3://bucket/a.pcap", True),
        ("a.pcap", False),
        ("./-", False),
        ("C:/a.pcap", False),
        ("/captures/a:b//c", False),
    ],
)
def test_what_is_a_file_and_what_is_elsewhere(given: str, elsewhere: bool) -> None:
    assert is_elsewhere(given) == elsewhere


def test_a_url_is_remembered_without_its_secrets() -> None:
    url = "https://user:secret@host:8443/a/b.pcap?X-Amz-Signature=secret#secret"
    assert without_secrets(url) == "https://host:8443/a/b.pcap"


def test_captures_by_url_are_vantage_points_named_after_them(web: tuple[Path, str], tmp_path: Path) -> None:
    """Rotated files stay together, in order of time; what is told of them is the URL."""
    folder, url = web
    write_pcap(folder / "web1.pcap", conversation())
    write_pcap(folder / "app.pcap", conversation(60))
    write_pcap(folder / "app.pcap1", conversation(30))
    given = [f"{url}/{name}" for name in ("web1.pcap", "app.pcap", "app.pcap1")]
    found = find_captures(given, Notes(), tmp_path)
    assert [capture.name for capture in found] == ["web1", "app"]
    assert [[capture.known_as(path) for path in capture.paths] for capture in found] == [
        [given[0]],
        [given[2], given[1]],
    ]


def test_the_command_reads_a_url(web: tuple[Path, str], tmp_path: Path) -> None:
    """From the command line to the calls, next to a file; the case names the URL without its query."""
    folder, url = web
    write_pcap(folder / "web1.pcap", conversation())
    other = write_pcap(tmp_path / "app1.pcap", conversation())
    result = run(["analyze", f"{url}/web1.pcap?token=canary", other, "--json", "-", "-o", tmp_path / "a.case"])
    assert result.returncode == 0, result.stderr
    assert {capture["path"] for capture in json.loads(result.stdout)["captures"]} == {f"{url}/web1.pcap", str(other)}
    assert "canary" not in result.stdout + result.stderr
    assert all(b"canary" not in path.read_bytes() for path in (tmp_path / "a.case").iterdir())


def test_what_can_not_be_fetched_is_one_clear_line(web: tuple[Path, str], tmp_path: Path) -> None:
    """A missing file, a host that does not answer, a scheme that nobody knows, and a file that is no capture."""
    folder, url = web
    (folder / "text").write_text("no capture at all")
    for given, words in (
        (f"{url}/missing.pcap", "can not be read"),
        ("http://127.0.0.1:9/a.pcap", "can not be read"),
        ("gopher://127.0.0.1/a.pcap", "can not be read"),
        (f"{url}/text", "not a capture"),
    ):
        with pytest.raises(UserError, match=words) as refused:
            find_captures([given], Notes(), tmp_path)
        assert str(refused.value).startswith(given)
        assert "\n" not in str(refused.value)


def test_a_missing_library_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the optional extra, what to install is said."""
    imported = builtins.__import__

    def without_fsspec(name: str, *arguments: object, **options: object) -> object:
        if name.startswith("fsspec"):
            raise ImportError(name)
        return imported(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_fsspec)
    with pytest.raises(UserError, match=r"pip install 'wiretrace\[remote\]'"):
        fetch("https://127.0.0.1/a.pcap", tmp_path)


def test_a_folder_of_another_file_system_is_read_file_by_file(tmp_path: Path) -> None:
    """As a bucket is: one level deep."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/web1.pcap", pcap_bytes(conversation()))
    memory.pipe("/bucket/app1.pcap", pcap_bytes(conversation()))
    memory.pipe("/bucket/deeper/other.pcap", pcap_bytes(conversation()))
    found = find_captures(["memory://bucket"], Notes(), tmp_path)
    assert [(capture.name, capture.known_as(capture.paths[0])) for capture in found] == [
        ("app1", "memory:///bucket/app1.pcap"),
        ("web1", "memory:///bucket/web1.pcap"),
    ]


def test_standard_input_is_read_until_its_writer_ends() -> None:
    """A writer that pauses in the middle of a packet is waited for."""
    data = pcap_bytes(conversation())
    command = [sys.executable, "-c", PROGRAM, "analyze", "-", "--json", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert process.stdin is not None
    process.stdin.write(data[:500])
    process.stdin.flush()
    time.sleep(0.3)
    process.stdin.write(data[500:])
    output, _ = process.communicate(timeout=COMMAND_SECONDS)
    answer = json.loads(output)
    assert [(capture["capture"], capture["path"]) for capture in answer["captures"]] == [("stdin", "-")]
    assert len(answer["trees"]) == 1


def test_standard_input_that_is_a_terminal_or_no_capture_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = run(["analyze", "-"], input="this is no capture, but a text that is long enough")
    assert (result.returncode, result.stdout) == (1, "")
    assert "-: not a capture" in result.stderr
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    with pytest.raises(UserError, match="standard input is a terminal"):
        fetch("-", tmp_path)
