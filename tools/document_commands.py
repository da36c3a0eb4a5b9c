"""Writes docs/commands.md: what every command prints for --help, and the exit statuses.

Run it after changing a command: `python tools/document_commands.py`. A test holds the page against it.
"""

from pathlib import Path

import click

from wiretrace.cli import commands

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"
HEAD = """# Commands

Results go to standard output; progress and diagnostics go to standard error. The exit status is 0 where the command did
what it should, 1 where it failed (one line on standard error says why and what to do), 2 where the command line can not
mean anything, and 130 where it was interrupted.

On a terminal, results use its width, and colour unless `NO_COLOR` is set; in a pipe they are plain text of 80 columns, or
of `COLUMNS`. Colour never carries meaning alone. Captured text is shown with everything escaped that is not a visible
character, so that no capture can move the cursor of the terminal.

This page is written by `tools/document_commands.py`.
"""
WIDTH = 80


def page() -> str:
    """The whole page."""
    sections = [HEAD, section(commands, "wiretrace")]
    context = click.Context(commands, info_name="wiretrace")
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        sections.append(section(command, f"wiretrace {name}"))
    return "\n".join(sections)


def section(command: click.Command, name: str) -> str:
    """The section of one command: what --help prints."""
    context = click.Context(command, info_name=name, terminal_width=WIDTH, **commands.context_settings)
    lines = [line.rstrip() for line in command.get_help(context).splitlines()]
    return f"## {name}\n\n" + "\n".join(["```text", *lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(page())
