"""Owns the group of the commands, and what an error becomes: a line on stderr and an exit code.

A command's module is imported when the command is called, so that `--help` is quick.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from ..errors import OptionsError, SessionError, StoreError
from .codes import DONE, FAILED, LEFT, USAGE

COMMANDS = {
    "stats": "Count the sessions: living, expired, bytes, the users with the most.",
    "list": "List the sessions, or those of one user.",
    "show": "Show one session, or all of one user; with --data what is in them.",
    "revoke": "End one session, all of one user, or all.",
    "sweep": "Delete the expired sessions now.",
    "index": "Make the index of the users, on a large table too.",
    "copy": "Copy all sessions into another store while servers use both.",
    "rekey": "Seal every session with the first key, beside the servers.",
    "secret": "Print a new secret.",
    "doctor": "Examine the options, secrets, files and store, and visit the site.",
}
"""What `--help` says of each; `copy` is `command` of `sessions/cli/copy.py`."""


class Commands(click.Group):
    """The commands, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # click's signature
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 # click's signature
        """Return a command; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __package__).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 # click's signature
        """Write the list of the commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. An error becomes a line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except OptionsError as error:
            problem, code = str(error), USAGE
        except StoreError as error:
            problem, code = f"store: {error}", FAILED
        except SessionError as error:
            problem, code = str(error), USAGE
        except BrokenPipeError:  # `| head` has seen enough
            problem, code = "", DONE
        except OSError as error:  # the output cannot be written: a full disk
            problem, code = str(error), FAILED
        except (KeyboardInterrupt, click.Abort):
            problem, code = "", LEFT
        if problem:
            click.echo(problem, err=True)
        return ctx.exit(code)


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print the version that is installed. The commands of a copy that is not installed, and has none, work as well."""
    if not asked:
        return
    try:
        found = f"version {version('tornado-express-sessions')}"
    except PackageNotFoundError:
        found = "of unknown version: the package is not installed"
    click.echo(f"sessions, {found}")
    ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def app() -> None:
    """See, count and end the sessions of a store, beside the servers that use it.

    A session is named by its handle, 32 hexadecimal digits of which a server's log shows the first 8. No id is shown.

    Exit codes: 0 done, 1 the store or the network failed, 2 wrong usage or configuration, 3 nothing matched, 4 doctor
    found a fault.
    """
