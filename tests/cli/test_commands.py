"""The command line as a whole: quick help, no heavy import, one-line errors, the documented exit statuses."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from tests.support.cases import build_case
from tests.support.command_line import COMMAND_SECONDS, PROGRAM, environment, run

from wiretrace.cli import commands

HEAVY = ("numpy", "scipy", "pyarrow", "duckdb", "rich", "networkx", "dpkt", "scapy", "msgspec", "httptools")
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cases") / "a.case"
    build_case(path, calls=700)
    return path


def every_command() -> dict[str, click.Command]:
    context = click.Context(commands, info_name="wiretrace")
    found = {name: commands.get_command(context, name) for name in commands.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def test_help_answers_at_once() -> None:
    """Best of twenty at most: under a quarter of a second, with the start of the interpreter.

    Counted in processor time, which is all that it takes on an idle machine, and which a busy one does not change.
    """
    times: list[float] = []
    while len(times) < 20 and min(times, default=1.0) >= 0.25:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(["--help"]).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.25


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in every_command())])
def test_help_and_version_load_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys, wiretrace\nfrom wiretrace.cli import main\n"
        "try:\n    main()\nfinally:\n    print([name for name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment(), check=True
    )
    loaded = {name.partition(".")[0] for name in re.findall(r"'([\w.]+)'", result.stderr)}
    assert "wiretrace" in loaded
    assert loaded & set(HEAVY) == set()


def test_a_command_loads_only_its_own_module() -> None:
    program = (
        "import sys\nfrom wiretrace.cli import main\ntry:\n    main(['doctor'])\nexcept SystemExit:\n"
        "    print(sorted(name for name in sys.modules if name.startswith('wiretrace.cli.')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=True
    )
    assert "wiretrace.cli.doctor" in result.stdout
    assert "wiretrace.cli.analyze" not in result.stdout


def test_every_command_and_option_has_a_sentence_and_is_documented() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    for name, command in every_command().items():
        assert command.help, name
        assert f"## wiretrace {name}\n" in page
        section = page.split(f"## wiretrace {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, (name, parameter.name)
                for option in parameter.opts:
                    assert option in section, (name, option)


def test_the_page_of_commands_is_current() -> None:
    from tools.document_commands import page

    assert (ROOT / "docs" / "commands.md").read_text() == page(), "run: python tools/document_commands.py"


def test_the_page_of_the_case_is_current() -> None:
    from tools.document_case import page

    assert (ROOT / "docs" / "case.md").read_text() == page(), "run: python tools/document_case.py"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["show", "missing.case"], 1),
        (["export", "missing.case", "--format", "json"], 1),
        (["report", "missing.case", "-o", "out.html"], 1),
        (["query", "missing.case", "SELECT 1"], 1),
        (["analyze", "missing.pcap"], 1),
        (["nonsense"], 2),
        (["show"], 2),
        (["show", "missing.case", "--nonsense"], 2),
        (["analyze", "a.pcap", "--json", "-", "--jsonl", "-"], 2),
    ],
)
def test_errors_have_the_documented_status_and_no_traceback(arguments: list[str], status: int, tmp_path: Path) -> None:
    result = run(arguments, cwd=tmp_path)
    assert result.returncode == status
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if status == 1:
        assert re.fullmatch(r"wiretrace: [^\n]+\n", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_an_error_can_not_move_the_cursor(tmp_path: Path) -> None:
    """Names of files are hostile text, too."""
    result = run(["show", "\x1b[2J\u202egnp.case"], cwd=tmp_path)
    assert result.stderr.startswith("wiretrace: \\x1b[2J\\u202egnp.case: no such case")


def test_a_reader_that_goes_away_is_no_error_message(stored: Path) -> None:
    """`wiretrace export ... | head -1` says nothing on standard error."""
    for arguments in (["export", stored, "--format", "jsonl"], ["show", stored, "--limit", "0"]):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(60) == 1


@pytest.mark.parametrize("arguments", [["export", "--format", "jsonl"], ["show"]])
def test_a_full_standard_output_is_one_line(stored: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        result = run([arguments[0], stored, *arguments[1:]], stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr == "wiretrace: standard output: No space left on device\n"


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    """A command that waits for its input is interrupted without a traceback."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "export", "--format", "json", "-o", str(pipe), str(build(tmp_path))],
        stderr=subprocess.PIPE,
        env=environment(),
    )
    time.sleep(2)  # it opens the pipe, which nobody reads
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 130
    assert errors.strip() == b""  # click ends the line in which the terminal shows ^C


def build(directory: Path) -> Path:
    build_case(directory / "b.case", calls=7)
    return directory / "b.case"


def test_version() -> None:
    from wiretrace import __version__

    assert run(["--version"]).stdout == f"wiretrace {__version__}\n"
