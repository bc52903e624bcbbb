"""Owns `copy`: what an operator says and sees of a move between two stores (sessions/copying does it)."""

import asyncio
from pathlib import Path
from typing import Any

import click

from ..copying import Copier, Journal, Sums, Tally, is_few
from ..errors import OptionsError, StoreError
from ..store import Store, admin
from ..users import handle_of
from ..validation import camel
from .codes import DONE, FAILED
from .output import Output, sessions
from .target import Target

_SHOWN = 10
"""Sessions that TO refuses and that are named."""


@click.command(name="copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--last", "is_last", is_flag=True, help="One more pass, after the servers have changed over to TO.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("sessions-copy.db"),
    show_default=True,
    help="Where it keeps what it has copied. It holds session ids: delete it after the move.",
)
@click.option("--user-key", metavar="PATH", help="If TO is a URL: the key of the data that names the user, as userKey.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, /, *, as_json: bool, **given: Any) -> None:
    """Copy all sessions into another store while servers use both.

    FROM and TO are each a store's URL, or a config.toml with `store`; the table of that store counts too.

    Passes repeat until one changes under 1 % of the sessions. Then change the servers over to TO, and run it once more
    with --last. A session that was changed or ended at TO meanwhile stays as it is there. A copy that was stopped goes
    on when it is run again.
    """
    ctx.exit(asyncio.run(_copy(Output(as_json=as_json), **given)))


async def _copy(out: Output, *, source: str, target: str, is_last: bool, journal: Path, user_key: str | None) -> int:
    here, there = _named(source), _named(target, user_key)
    if here.place == there.place:
        raise OptionsError("copy: FROM and TO are the same store")
    async with (
        here.open(reads=True) as from_store,
        there.open(makes=True) as to_store,
        Journal(journal, here.place, there.place) as kept,
    ):
        if is_last and not kept.is_settled:
            raise OptionsError(
                f"--last: comes after the servers have changed over, and by {journal} no copy has said that they may:"
                " give that copy's --journal, or run copy without --last first"
            )
        copier = Copier(
            from_store, to_store, kept, in_use=is_last, user_path=there.options.user_path, refused=_Refused(out)
        )
        run = _Run(out, from_store, copier)
        tallies = [await run.one_pass(1)]
        while not is_last and not tallies[-1].is_settled:
            tallies.append(await run.one_pass(len(tallies) + 1))
        sums = await run.compare()
        problem = _problem(tallies[-1], sums, is_last=is_last)
        if not is_last and problem is None:
            await kept.settle()
    _report(out, tallies, sums, problem or (_done(tallies[-1]) if is_last else _CHANGE_OVER))
    return DONE if problem is None else FAILED


def _named(name: str, user_key: str | None = None) -> Target:
    """Return what FROM or TO names. Raises OptionsError and UsageError."""
    if not name.endswith(".toml"):
        return Target.of_url(name, user_key)
    if user_key is not None:
        raise click.UsageError("--user-key goes with a URL; a configuration has userKey")
    return Target.of_file(Path(name))


class _Refused:
    """Names the first sessions that TO refuses, each once."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._handles: set[str] = set()

    def __call__(self, key: str, error: StoreError) -> None:
        handle = handle_of(key)
        if handle not in self._handles and len(self._handles) < _SHOWN:
            self._handles.add(handle)
            self._out.say(f"cannot be copied: {handle}: {error}")


class _Run:
    """The passes, each with its bar and its line."""

    def __init__(self, out: Output, source: Store, copier: Copier) -> None:
        self._out = out
        self._source = source
        self._copier = copier

    async def one_pass(self, number: int) -> Tally:
        """Run a pass."""
        with self._out.progress(f"pass {number}", await self._count()) as bar:
            tally = await self._copier.run_pass(bar.advance)
        names = ("created", "updated", "touched", "removed", "kept", "ended", "refused")
        numbers = tally.as_dict()
        did = ", ".join(f"{numbers[name]:,} {name}" for name in names if numbers[name]) or "nothing to do"
        speed = f"{tally.read / tally.seconds:,.0f} a second" if tally.seconds else ""
        self._out.say(f"pass {number}: {sessions(tally.read)} read, {did}; {tally.seconds:.1f} s, {speed}")
        return tally

    async def compare(self) -> Sums:
        """Compare both stores."""
        with self._out.progress("comparing", await self._count()) as bar:
            return await self._copier.compare(bar.advance)

    async def _count(self) -> int | None:
        power = admin(self._source)
        return None if power is None else await power.length()


def _problem(tally: Tally, sums: Sums, *, is_last: bool) -> str | None:
    """Return why the move cannot go on, and what to do; None if it can. Nearly all sessions have to be at TO by now."""
    if not is_few(tally.refused, tally.read):
        return f"TO refuses {tally.refused:,} of {sessions(tally.read)}. Mend that, and run the same command again."
    if not is_last and not is_few(sums.ended, sums.source):
        return (
            f"{sessions(sums.ended)} that were copied are not at TO any more. If no server uses TO yet, it has lost"
            " them: delete the journal, and run the same command again."
        )
    if is_last and sums.left > tally.refused:
        return "FROM was still written to. Run the same command with --last again."
    return None


def _done(tally: Tally) -> str:
    others = " that it takes" if tally.refused else ""
    return f"All sessions{others} are at TO. Delete the journal: it holds session ids."


def _report(out: Output, tallies: list[Tally], sums: Sums, then: str) -> None:
    if out.as_json:
        passes = [_camel(tally.as_dict()) for tally in tallies]
        out.document({"passes": passes, "sums": _camel(sums.as_dict()), "next": then})
        return
    numbers = sums.as_dict()
    out.line(f"FROM: {sessions(sums.source)}, sum {numbers['source_sum']}")
    out.line(f"TO: {sessions(sums.target)}, sum {numbers['target_sum']}")
    out.line("the same sessions" if sums.is_equal else f"{sums.same:,} are the same")
    for name, meaning in _DIFFERENCES.items():
        if numbers[name]:
            out.line(f"{numbers[name]:,} {meaning}")
    out.line(then)


def _camel(numbers: dict[str, Any]) -> dict[str, Any]:
    return {camel(name): number for name, number in numbers.items()}


_CHANGE_OVER = "Change the servers over to TO now. Then run the same command with --last."
_DIFFERENCES = {
    "newer": "were changed at TO and stay as they are there",
    "ended": "have ended at TO",
    "left": "are not carried yet, or cannot be",
    "made": "were made at TO",
    "only_there": "are at TO only: they were changed there, and have ended at FROM",
}
