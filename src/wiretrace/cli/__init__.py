"""The command line: one file a command, found by name and imported only when it is run.

Every module of this folder holds one click command, `command`. Modules import nothing heavy at the top: what a command
needs is imported when it runs, so that `wiretrace --help` answers at once.

Results go to standard output, progress and diagnostics to standard error. Exit status: 0 done, 1 failed, 2 the command
line can not mean anything, 130 interrupted.
"""

import codecs
import importlib
import io
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence

import click

from wiretrace import __version__
from wiretrace.cli.terminal.text import plain_characters, printable
from wiretrace.model.errors import UserError

FAILED = 1
PLAIN = "wiretrace.plain"
"""Name of the error handler that writes what an encoding lacks in ASCII."""
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


class CommandFolder(click.Group):
    """A group whose commands are the modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands: the modules of this folder. Nothing is imported."""
        return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=CommandFolder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="wiretrace", message="%(prog)s %(version)s")
def commands() -> None:
    """Packet captures from several hosts in, request trees out.

    Begin with: wiretrace analyze CAPTURE... -o CASE
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. A user's error is one line on standard error."""
    codecs.register_error(PLAIN, plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)  # a terminal that lacks a character is no reason to fail
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(arguments))


def _terminate(number: int, _frame: object) -> None:
    """SIGTERM ends a command as an interrupt does: in order, with nothing left behind."""
    raise SystemExit(128 + number)


def _run(arguments: Sequence[str] | None) -> int:
    """Run a command and return the exit status."""
    try:
        status = commands.main(args=arguments, prog_name="wiretrace", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "wiretrace"
        _complain(f"{' '.join(error.format_message().split())} '{command} --help' tells more.")
        return error.exit_code
    except click.ClickException as error:
        _complain(error.format_message())
        return error.exit_code
    except UserError as error:
        _complain(str(error))
        return error.exit_status
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _drop_standard_output()
        return FAILED
    except MemoryError:
        _complain("not enough memory; analyze fewer captures at once, or on a machine with more of it")
        return FAILED
    except OSError as error:
        _drop_standard_output()
        _complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        return FAILED
    return status if isinstance(status, int) else 0


def _complain(message: str) -> None:
    """One line on standard error; what it quotes can not move the cursor."""
    click.echo(f"wiretrace: {printable(message)}", err=True)


def _drop_standard_output() -> None:
    """Let nothing more be written to a standard output that takes nothing more, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
