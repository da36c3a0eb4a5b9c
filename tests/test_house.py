"""Rules of the house that no linter knows: where tests are, how long files are, and a sentence for every name."""

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import tomllib
from enum import Enum
from pathlib import Path

import msgspec
import pytest

import wiretrace
from wiretrace.model import tables
from wiretrace.model.limits import Limits
from wiretrace.model.note import NoteKind

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "wiretrace"
MODULES = sorted(SOURCE.rglob("*.py"))
ASSETS = sorted(path for path in (SOURCE / "report" / "assets").iterdir() if path.suffix in (".js", ".css", ".html"))
MOST_LINES = 500

COVERED_BY = {
    # Parts of a protocol are tested through it, because only together do they keep the contract.
    "protocols/test_amqp.py": ("protocols/amqp_*",),
    "protocols/test_dns.py": ("protocols/dns_message",),
    "protocols/test_proxy.py": ("exchanges/told",),
    "protocols/test_http1.py": ("protocols/http1_*", "protocols/http_fields", "protocols/http_semantics"),
    "protocols/test_http2.py": ("protocols/http2_*",),
    "protocols/test_kafka.py": ("protocols/kafka_*",),
    "protocols/test_memcached.py": ("protocols/memcached_*",),
    "protocols/test_cassandra.py": ("protocols/cassandra_*",),
    "protocols/test_ldap.py": ("protocols/ldap_*",),
    "protocols/test_mongodb.py": ("protocols/mongodb_*",),
    "protocols/test_mqtt.py": ("protocols/mqtt_*",),
    "protocols/test_mysql.py": ("protocols/mysql_*",),
    "protocols/test_mysql_compression.py": ("protocols/carried",),
    "protocols/test_postgresql.py": ("protocols/postgresql_*",),
    "protocols/test_redis.py": ("protocols/redis_*",),
    "protocols/test_sql.py": ("protocols/sql_*",),
    "protocols/test_tls.py": ("protocols/tls_*",),
    "protocols/test_tds.py": ("protocols/tds_*",),
    "test_docs.py": (
        "protocols/contract",
        "protocols/registry",
        "linking/evidence/contract",
        "linking/evidence/registry",
    ),
    # What stands between packets and exchanges is tested through the driver, on packets, as the pipeline uses it.
    "exchanges/test_outcomes.py": ("exchanges/closing", "exchanges/health", "exchanges/transfer"),
    "tcp/test_health.py": ("tcp/trouble",),
    "exchanges/test_driver.py": (
        "exchanges/attempts",
        "exchanges/connection_rows",
        "exchanges/conversation",
        "exchanges/detection",
        "exchanges/direction",
        "exchanges/matching",
        "exchanges/message_table",
        "exchanges/pairing",
        "exchanges/pairing_acknowledgement",
        "exchanges/pairing_batches",
        "exchanges/pairing_identifier",
        "exchanges/pairing_order",
        "exchanges/provenance",
        "exchanges/record_batch",
        "exchanges/rows",
        "exchanges/threads",
        "tcp/connections",
    ),
    # Pieces of messages, and pairs by identifier, are what streams of HTTP/2 are made of.
    "protocols/test_recorded.py": ("exchanges/parts",),
    "tcp/test_reassembly.py": ("tcp/streams", "tcp/growing"),
    "exchanges/test_datagrams.py": ("exchanges/datagram_rows", "exchanges/unread_datagrams"),
    # Kernels over columns are tested through the decoder that calls them, against plain twins and dpkt.
    "packets/test_decode.py": (
        "packets/buffer",
        "packets/columns",
        "packets/link",
        "packets/network",
        "packets/transport",
    ),
    "packets/test_fragments.py": ("packets/careful",),
    "packets/test_tunnels.py": ("packets/frames", "packets/layers", "packets/shims", "packets/wifi"),
    "packets/test_pcapng_blocks.py": ("packets/pcapng",),
    "packets/test_reader.py": ("packets/reasons", "packets/records", "packets/source", "packets/summary"),
    # The way from views to calls is tested as a whole, against a simulation that knows the truth.
    "hosts/test_calls.py": ("hosts/columns", "hosts/merge", "hosts/table", "hosts/timeline"),
    # So are linking, the answer's summary, and the reading of one vantage point.
    "linking/test_linker.py": ("linking/*",),
    "linking/test_rows.py": ("cli/link",),
    "diagnosis/test_summary.py": ("diagnosis/columns", "diagnosis/failures", "diagnosis/requests"),
    # How calls are led past the rules is tested by what these find, however the calls are cut.
    "diagnosis/test_examination.py": (
        "diagnosis/bins",
        "diagnosis/kinship",
        "diagnosis/portion",
        "diagnosis/rowset",
        "diagnosis/survey",
        "diagnosis/whole",
    ),
    # The rules and what they share are tested on whole systems: one that triggers each, and one that must not.
    "diagnosis/rules/test_scenarios.py": (
        "diagnosis/attempts",
        "diagnosis/conclude",
        "diagnosis/contents",
        "diagnosis/observed",
        "diagnosis/pools",
        "diagnosis/routes",
        "diagnosis/slow_cause",
        "diagnosis/siblings",
        "diagnosis/symptoms",
        "diagnosis/waits",
        "diagnosis/written_rows",
        "diagnosis/rules/*",
    ),
    "cli/test_why.py": ("cli/terminal/answer", "diagnosis/answer"),
    "cli/test_diff.py": ("cli/terminal/changes",),
    "cli/test_show.py": ("cli/terminal/red",),
    "test_pipeline.py": ("exchanges/vantage",),
    "cli/test_commands.py": ("cli/report", "__main__"),
    "capture/test_recorder.py": ("cli/capture",),
    # Declarations: there is nothing to run. That each name has its sentence is tested here and in the pages.
    "test_house.py": ("model/*",),
    "case/test_writer.py": ("case/manifest",),
    "export/test_registry.py": ("export/contract",),
    "export/test_spans.py": (
        "export/span",
        "export/otlp",
        "export/jaeger",
        "export/zipkin",
        "export/perfetto",
        "export/calls_parquet",
    ),
    "report/test_page.py": ("report/trees",),
    "report/test_views.py": ("report/answer", "report/comparison", "report/coverage"),
    "report/test_evidence.py": ("packets/extract",),
}
"""Modules without a test file of their own: the test that covers them, and why there."""


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    """'protocols/http1' for src/wiretrace/protocols/http1.py."""
    return path.relative_to(SOURCE).with_suffix("").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


@pytest.mark.parametrize("path", [*MODULES, *ASSETS], ids=lambda path: path.name)
def test_no_file_is_longer_than_one_reading(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_every_module_has_its_tests() -> None:
    """tests/ mirrors src/; what is tested elsewhere is listed, and the list holds nothing that is no longer so."""
    elsewhere = {}
    for test, patterns in COVERED_BY.items():
        assert (ROOT / "tests" / test).is_file(), test
        for pattern in patterns:
            found = {name_of(path) for path in MODULES if path.match(f"src/wiretrace/{pattern}.py")}
            if pattern.endswith("/*"):
                found |= {name for name in map(name_of, MODULES) if name.startswith(pattern.removesuffix("*"))}
            assert found, f"{pattern} in COVERED_BY is no module"
            elsewhere |= dict.fromkeys(found, test)
    missing = [
        name
        for path in MODULES
        if path.name != "__init__.py"
        and (name := name_of(path)) not in elsewhere
        and not (ROOT / "tests" / f"{Path(name).parent}" / f"test_{path.stem}.py").is_file()
    ]
    assert missing == []


def test_nothing_is_left_for_later_and_only_commands_print() -> None:
    """Words are looked for in comments and text alike; `print` in code, outside of the command line and the recorder."""
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    prints = {
        name_of(path)
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert [path.name for path in [*MODULES, *ASSETS] if unfinished.search(path.read_text())] == []
    assert {name for name in prints if not name.startswith("cli/")} <= {"capture/recorder"}


def test_no_error_is_swallowed_unnamed() -> None:
    """Hostile input is met where it is read, never by catching everything."""
    names = ("Exception", "BaseException")
    handlers = [
        (name_of(path), handler.lineno)
        for path in MODULES
        for handler in ast.walk(parsed(path))
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in names))
        and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
    ]
    assert handlers == []


def test_plug_ins_have_the_groups_that_the_registries_read() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"])
    read = {
        value.value
        for path in SOURCE.rglob("registry.py")
        for node in parsed(path).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "ENTRY_POINT_GROUP"
        and isinstance(value := node.value, ast.Constant)
    }
    assert declared == read != set()


def test_every_dependency_is_imported_and_nothing_else() -> None:
    """What pyproject.toml requires at run time is what the source imports from outside of the standard library.

    Of the optional ones, aiohttp is what fsspec needs for the web.
    """
    from sys import stdlib_module_names

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [each for extra in project["optional-dependencies"].values() for each in extra]
    required = [each for each in project["dependencies"] + optional if not each.startswith("aiohttp")]
    imported = {
        name.partition(".")[0]
        for path in MODULES
        for node in ast.walk(parsed(path))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    outside = imported - stdlib_module_names - {"wiretrace", "compression"}  # compression: Python 3.14
    assert outside == {re.split(r"[^\w-]", requirement)[0] for requirement in required}


def described_classes() -> list[type]:
    """Enumerations, and the settings and limits, of every floor that imports no optional system library."""
    found = []
    for module_info in pkgutil.walk_packages(wiretrace.__path__, "wiretrace."):
        if not module_info.name.startswith("wiretrace.capture"):
            module = importlib.import_module(module_info.name)
            found += [
                member
                for _, member in inspect.getmembers(module, inspect.isclass)
                if member.__module__ == module.__name__ and issubclass(member, Enum) and member is not NoteKind
            ]
    return [*found, Limits]


@pytest.mark.parametrize("described", described_classes(), ids=lambda described: described.__name__)
def test_every_member_has_its_sentence(described: type) -> None:
    """Each member of an enumeration, and each limit, is followed by a docstring."""
    from tools.document_model import sentences

    assert [name for name, sentence in sentences(described).items() if not sentence] == []


def test_every_note_and_column_has_its_sentence() -> None:
    sentences = [kind.sentence for kind in NoteKind]
    sentences += [column.sentence for columns in tables.TABLES.values() for column in columns]
    assert [sentence for sentence in sentences if not sentence.strip().endswith(".")] == []


def test_messages_say_what_their_fields_mean() -> None:
    """The one structure that every protocol fills in."""
    from tools.document_model import sentences

    from wiretrace.model.message import Message

    assert issubclass(Message, msgspec.Struct)
    assert all(sentences(Message).values())
