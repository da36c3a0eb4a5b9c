"""The pages of docs/ hold what they say: code in them runs, and nothing that they list is missing or out of date."""

import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.captures import TcpConversation, write_pcap
from tests.support.cases import analyzed

from wiretrace import cli, export, protocols
from wiretrace.case.reader import Case
from wiretrace.export.registry import known_exporters
from wiretrace.linking import evidence
from wiretrace.linking.evidence.registry import known_evidence
from wiretrace.model.settings import Settings
from wiretrace.model.side import Side
from wiretrace.protocols.registry import known_protocols

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("pcaps/*.md"), *ROOT.glob("tests/**/*.md")]
)


def blocks(page: Path, language: str = "python") -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A function that puts a module into a folder of the source, as adding its file does, until the test is over."""
    names = []
    registries = (known_protocols, known_exporters, known_evidence)

    def add(package: types.ModuleType, name: str, source: str) -> types.ModuleType:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        names.append(f"{package.__name__}.{name}")
        for registry in registries:
            registry.cache_clear()
        return importlib.import_module(names[-1])

    yield add
    for name in names:
        sys.modules.pop(name)
    for registry in registries:
        registry.cache_clear()


def test_the_protocol_of_the_walk_through_passes_its_own_tests(added: type) -> None:
    """Also: it is as short as promised, and adding its file is all that the registry needs."""
    source, test = blocks(DOCS / "add-a-protocol.md")
    assert len(source.splitlines()) < 60
    added(protocols, "ask", source)
    assert "ask" in known_protocols()
    scope: dict[str, object] = {"__name__": "test_ask"}
    exec(compile(test, "docs/add-a-protocol.md", "exec"), scope)
    tests = [member for name, member in scope.items() if name.startswith("test_")]
    assert len(tests) == 4
    for run in tests:
        assert callable(run)
        run()


def test_the_protocol_of_the_walk_through_is_read_from_a_capture(added: type, tmp_path: Path) -> None:
    """From packets to calls, in this process: nothing but the file of the protocol was added."""
    added(protocols, "ask", blocks(DOCS / "add-a-protocol.md")[0])
    conversation = TcpConversation(server=("10.0.0.2", 7007)).open()
    for article, answer in ((b"paint-7", b"YES 12"), (b"paint-8", b"NO such article")):
        conversation.send(Side.CLIENT, b"ASK " + article + b"\n").send(Side.SERVER, answer + b"\n")
    path = write_pcap(tmp_path / "stock.pcap", conversation.close().packets)
    calls = analyzed(tmp_path / "a.case", [path], Settings(jobs=1)).table("calls").to_pylist()
    assert [(call["protocol"], call["summary"], call["status"]) for call in calls] == [
        ("ask", "ASK ?", "YES"),
        ("ask", "ASK ?", "NO"),
    ]


def test_every_protocol_has_a_section_with_its_ports() -> None:
    sections = (DOCS / "protocols.md").read_text().split("\n## ")[1:]
    by_name = {section.partition("\n")[0].strip("`"): section for section in sections}
    assert {name for name in by_name if not name.startswith("Not ")} == set(known_protocols())
    for name, protocol in known_protocols().items():
        ports = re.search(r"^Usual ports: (.+)\.$", by_name[name], re.MULTILINE)
        assert ports is not None, name
        assert {int(port) for port in ports[1].split(", ")} == protocol.ports, name


def test_the_exporter_of_the_walk_through_works(added: type, tmp_path: Path) -> None:
    from click.testing import CliRunner
    from tests.support.cases import build_case

    exporter, _, _ = blocks(ROOT / "CONTRIBUTING.md")
    added(export, "operations", exporter)
    build_case(tmp_path / "a.case", calls=70)
    result = CliRunner().invoke(cli.commands, ["export", str(tmp_path / "a.case"), "--format", "operations"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines == sorted(set(lines))
    assert set(lines) == set(Case.open(tmp_path / "a.case").table("calls")["operation"].to_pylist())


def test_the_command_of_the_walk_through_works(added: type, tmp_path: Path) -> None:
    from click.testing import CliRunner
    from tests.support.cases import build_case

    _, command, _ = blocks(ROOT / "CONTRIBUTING.md")
    added(cli, "count", command)
    build_case(tmp_path / "a.case", calls=70)
    result = CliRunner().invoke(cli.commands, ["count", str(tmp_path / "a.case")])
    assert result.output == f"{Case.open(tmp_path / 'a.case').table('calls').num_rows}\n"


def test_the_evidence_of_the_walk_through_is_found_and_weighed(added: type, tmp_path: Path) -> None:
    """A capture of a proxied request is linked with it: the linker calls whatever the folder holds."""
    _, _, kind = blocks(ROOT / "CONTRIBUTING.md")
    module = added(evidence, "haste", kind)
    assert isinstance(known_evidence()["haste"], module.Haste)
    asked = TcpConversation(("10.0.0.1", 40000), ("10.0.0.2", 80)).open()
    passed_on = TcpConversation(("10.0.0.2", 50000), ("10.0.0.3", 8080), start_ns=asked.now_ns + 300_000).open()
    request, answer = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
    asked.send(Side.CLIENT, request).wait(2_000_000).send(Side.SERVER, answer)
    passed_on.send(Side.CLIENT, request).send(Side.SERVER, answer)
    packets = sorted(asked.packets + passed_on.packets)
    case = analyzed(tmp_path / "a.case", [write_pcap(tmp_path / "proxy.pcap", packets)], Settings(jobs=1))
    assert case.table("calls").num_rows == 2
    assert case.table("links").num_rows == 1


def test_the_pages_of_the_model_are_current() -> None:
    from tools.document_model import limits_page, notes_page

    assert (DOCS / "limits.md").read_text() == limits_page(), "run: python tools/document_model.py"
    assert (DOCS / "notes-and-outcomes.md").read_text() == notes_page(), "run: python tools/document_model.py"


def test_the_pages_of_the_findings_are_current() -> None:
    from tools.document_findings import FOLDER, pages

    written = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    assert written == pages(), "run: python tools/document_findings.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    broken = [
        target for target in targets if target and "://" not in target and not (page.parent / target).resolve().exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index_of_its_folder() -> None:
    for folder in (DOCS, DOCS / "decisions", DOCS / "findings"):
        index = (folder / "index.md").read_text()
        missing = [
            page.name for page in folder.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
        ]
        assert missing == [], folder


def test_every_command_of_make_is_listed_by_help() -> None:
    """`make help` prints a sentence for each target that a person types."""
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))


def test_the_readme_shows_what_the_demo_prints() -> None:
    """Line for line, but for how sure it is, which may differ in the last place from processor to processor."""
    from tools.document_demo import readme

    confidence = re.compile(r"[>≈]\d+%")
    text = (ROOT / "README.md").read_text()
    assert confidence.sub("", text) == confidence.sub("", readme(text)), "run: python tools/document_demo.py"
