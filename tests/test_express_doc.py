"""docs/express.md: what it says of the library, of Express's ways and of a Node server beside ours is so.

Its commands, its anchors and the syntax of its Python are held by test_docs.py as those of every page. What it says of a
Node server runs here where tests/interop does not run it already.
"""

import contextlib
import inspect
import os
import re
import signal
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from client import Browser
from conformance.options import AS_EXPRESS
from conformance.replay import (
    OURS,
    declaration_for,
    load_declared,
    load_deviations,
    load_transcripts,
    named_options,
)
from interop.client import Reply, Visitor, control
from interop.conftest import OPTIONS, Pair, why_not
from interop.processes import Process, free_port, missing, wait_until
from interop.test_example import EXAMPLE, answers
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import (
    Cookie,
    CookieOptions,
    Session,
    SessionManager,
    SessionMixin,
    SessionOptions,
    Store,
    now_ms,
    open_store,
)
from sessions.store import Admin, Overwriting, Prepared, Sweepable
from sessions.validation import express_names

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "express.md"
TEXT = PAGE.read_text("utf-8")

EVERY = {one["id"]: one for one in load_transcripts(classes=("core", "quirk", "node"))}
GROUPS = {name.partition("/")[0] for name in EVERY}
DEVIATIONS = load_deviations()
DEFAULTS = load_declared("deviations-defaults.json")
SECRET = "a secret of the test, as long as it should be"


# ---------------------------------------------------------------- reading


def spoken(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """The texts in backticks."""
    return re.findall(r"`([^`\n]+)`", spoken(text))


def words(text: str) -> set[str]:
    """Every name in the texts in backticks."""
    return {word for span in spans(text) for word in re.findall(r"\w+", span)}


def block(language: str) -> str:
    """The one fenced block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def tables(*head: str) -> list[list[str]]:
    """The rows of all tables with these columns."""
    line = re.escape(f"| {' | '.join(head)} |")
    bodies = re.findall(rf"^{line}\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert bodies, f"no table {head}"
    rows = [[cell.strip() for cell in row[1:-1].split(" |")] for body in bodies for row in body.splitlines()]
    assert {len(row) for row in rows} == {len(head)}
    return rows


def scenarios(text: str) -> list[str]:
    """The scenario ids among the texts in backticks."""
    return [span for span in spans(text) if "/" in span and span.partition("/")[0] in GROUPS]


def named_tests(text: str) -> list[tuple[str, Path]]:
    """The tests that it links to, with their files."""
    return [(name, PAGE.parent / path) for name, path in re.findall(r"\[(test_\w+)\]\(([^)\s]+)\)", text)]


def for_handlers(owner: type) -> set[str]:
    """The public names of a class that its own headline gives to handlers."""
    _, found, rest = inspect.getsource(owner).partition(
        "# ---------------------------------------------------------------- what a handler uses\n"
    )
    assert found, f"{owner.__name__} has no headline 'what a handler uses' any more"
    return set(re.findall(r"^    (?:async )?def ([a-z]\w*)", rest.partition("    # -----")[0], re.MULTILINE))


def public(owner: type) -> set[str]:
    """The public names that a class itself has."""
    return {name for name in vars(owner) if not name.startswith("_")}


def assignable(owner: type) -> set[str]:
    """The public attributes that can be read and assigned."""
    members = inspect.getmembers_static(owner)
    return {
        name
        for name, member in members
        if not name.startswith("_") and hasattr(member, "__set__") and getattr(member, "fset", member) is not None
    }


class Difference(NamedTuple):
    """A row of the tables of differences."""

    express: str
    here: str
    old_way: str
    shown_by: str


DIFFERENCES = [Difference(*row) for row in tables("Express", "here", "the old way", "shown by")]
each_difference = pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row.express[:60])


def settings(row: Difference) -> dict[str, Any]:
    """The setting that takes a reader back to Express's way; nothing where the row says none."""
    return {} if row.old_way.startswith("none") else tomllib.loads(spans(row.old_way)[0])


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names, as the page has them."""
    options = {name: value for name, value in settings.items() if name != "cookie"}
    return options | {f"cookie.{name}": value for name, value in settings.get("cookie", {}).items()}


def test_the_reading_of_the_page() -> None:
    """What the tests below rest on."""
    text = "`race/x`, `tests/y`, [test_z](../tests/z.py)\n```sh\n`race/w`\n```\n`self.session.id`"

    assert scenarios(text) == ["race/x"]
    assert named_tests(text) == [("test_z", PAGE.parent / "../tests/z.py")]
    assert words(text) == {"race", "x", "tests", "y", "self", "session", "id"}
    assert {"save", "id", "cookie"} <= public(Session)
    assert "session" in for_handlers(SessionMixin)
    assert "finish" not in for_handlers(SessionMixin)
    assert {"max_age", "expires", "path"} <= assignable(Cookie)
    assert assignable(Session) == set()


# ---------------------------------------------------------------- names


def test_every_option_has_its_row() -> None:
    """Under Express's name and under ours, and there is no other row."""
    rows = tables("Express, `config.toml`", "Python", "what is different here")
    rows += tables("`config.toml`", "Python")

    shown = {express.strip("`"): python.strip("`") for express, python, *_ in rows}

    assert len(shown) == len(rows)
    assert shown == {
        **express_names(SessionOptions),
        **{f"cookie.{express}": python for express, python in express_names(CookieOptions).items()},
    }


def test_the_options_that_express_does_not_have_are_apart() -> None:
    """Those that are not in the README of express-session 1.19."""
    new = {row[0].strip("`") for row in tables("`config.toml`", "Python")}

    express = {"cookie", "genid", "name", "proxy", "resave", "rolling", "saveUninitialized", "secret", "store", "unset"}
    assert new == express_names(SessionOptions).keys() - express


@pytest.mark.parametrize("owner", [Session, Cookie, SessionMixin, Store, Sweepable, Prepared, Admin, Overwriting])
def test_every_name_for_you_is_there(owner: type) -> None:
    """Methods and properties that a handler uses, and the verbs of a store and of its powers."""
    names = public(owner)

    assert names
    assert names - words(TEXT) == set()


def test_what_a_handler_has_to_write_is_there() -> None:
    """The second column has no name that the code does not know."""
    advice = " ".join(row[1] for row in tables("Express", "here", "what is different here"))

    for owner, pattern in (
        (SessionMixin, r"self\.(\w+)"),
        (Session, r"self\.session\.(\w+)"),
        (Cookie, r"….cookie\.(\w+)"),
        (Store, r"store\.(\w+)\("),
    ):
        names = set(re.findall(pattern, advice)) - {"settings"}
        assert names
        assert [name for name in names if not hasattr(owner, name)] == []


# ---------------------------------------------------------------- differences


def test_every_scenario_was_recorded() -> None:
    """Wherever the page names one."""
    named = scenarios(TEXT)

    assert named
    assert [name for name in named if name not in EVERY] == []


@each_difference
def test_a_difference_is_shown(row: Difference) -> None:
    """By scenarios alone, or by tests alone where no scenario can."""
    shown = scenarios(row.shown_by)

    assert spans(row.shown_by) == shown
    assert bool(shown) != bool(named_tests(row.shown_by))


@each_difference
def test_a_difference_is_declared_with_its_old_way(row: Difference) -> None:
    """None: it differs in Express's ways too. An option: it is among those that make the difference."""
    option = next(iter(settings(row)), None)

    for name in scenarios(row.shown_by):
        lasting = declaration_for(EVERY[name], DEVIATIONS)
        by_default = declaration_for(EVERY[name], DEFAULTS)
        if option is None:
            assert lasting is not None, f"{name} is not declared in deviations.json"
        else:
            assert lasting is None, f"{name} differs in Express's ways too"
            assert by_default is not None, f"{name} is not declared in deviations-defaults.json"
            assert option in named_options(DEFAULTS[by_default])


@each_difference
def test_what_is_refused_is_said_to_be(row: Difference) -> None:
    """Where the declared reason is a refusal at start, the row says so; no other row does."""
    for name in scenarios(row.shown_by):
        reason = DEVIATIONS.get(declaration_for(EVERY[name], DEVIATIONS) or "", "")
        assert (row.old_way == "none: refused at start") == reason.startswith("refused at start")


@each_difference
def test_the_old_way_can_be_set(row: Difference) -> None:
    """It is an option with a value that it takes, and another than its default."""
    if not settings(row):
        assert row.old_way.partition(":")[0] == "none"
        return

    changed = SessionOptions.from_mapping({"secret": SECRET, **settings(row)})

    assert changed != SessionOptions(secret=SECRET)


def test_all_of_express_s_ways_are_in_one_place() -> None:
    """The block holds every option that a row names, and what the transcripts are replayed with."""
    given = tomllib.loads(block("toml"))["session"]

    named = {name: value for row in DIFFERENCES for name, value in flat(settings(row)).items()}
    assert flat(given) == {name: value for name, value in named.items() if name != "ttl"}
    assert set(AS_EXPRESS) == set(OURS)
    assert {name: given[name] for name in AS_EXPRESS} == AS_EXPRESS
    assert SessionOptions.from_mapping({"secret": SECRET, **given})


def test_every_lasting_difference_has_its_row() -> None:
    """Each reason of deviations.json is shown by one of its scenarios."""
    named = {name for row in DIFFERENCES for name in scenarios(row.shown_by)}

    declared = {key: why for key, why in load_declared("deviations.json").items() if key in EVERY}
    shown = {why for key, why in declared.items() if key in named}
    assert {key: why for key, why in declared.items() if why not in shown} == {}


def test_every_link_leads_somewhere() -> None:
    """To a file of the project."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", spoken(TEXT)) if ":" not in link]

    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_every_test_is_there() -> None:
    """In the file that the link leads to."""
    linked = named_tests(TEXT)

    assert linked
    assert [
        name for name, file in linked if not re.search(rf"^ *(?:async )?def {name}\(", file.read_text(), re.MULTILINE)
    ] == []


def test_the_numbers_are_those_of_the_transcripts() -> None:
    """How many were recorded, are replayed, and differ."""
    played = load_transcripts()
    differ = [one for one in played if declaration_for(one, DEVIATIONS) is not None]
    numbers = [str(len(each)) for each in (EVERY, EVERY.keys() - {one["id"] for one in played}, played, differ)]

    found = re.search(
        r"holds (\d+) scenarios.*?Of the scenarios\s(\d+).*?other\s(\d+).*?ways\s(\d+) of", TEXT, re.DOTALL
    )

    assert found is not None
    assert list(found.groups()) == numbers


# ---------------------------------------------------------------- what it shows


class Who(SessionMixin, RequestHandler):
    """Says who is signed in."""

    def get(self) -> None:
        """Answer the name."""
        self.write(self.session.get("user", "nobody"))


async def test_the_login_works() -> None:
    """The Python block, without a change, gives a new id, the user and a redirect."""
    made: dict[str, Any] = {}
    exec(block("python"), made)
    async with open_store("memory:") as store:
        manager = SessionManager(store, SessionOptions(secret=SECRET, save_uninitialized=True))
        server = HTTPServer(Application([("/login", made["Login"]), ("/", Who)], sessions=manager))
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        visitor = Browser(sockets[0].getsockname()[1], now_ms)
        before = (await visitor.fetch()).text
        old = visitor.sid
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        answer = await visitor.fetch("/login", method="POST", body=b"user=ada", headers=form)

        assert (answer.status, answer.header("Location")) == (302, "/")
        assert (before, (await visitor.fetch()).text) == ("nobody", "ada")
        assert visitor.sid != old
        server.stop()
        await server.close_all_connections()


# ---------------------------------------------------------------- a Node server beside ours

with_node = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
with_nginx = pytest.mark.skipif(missing("nginx") is not None, reason=str(missing("nginx")))
DAY = 86_400_000


@contextlib.contextmanager
def pair_of(folder: Path, *, tornado: Mapping[str, Any] | None = None, **options: Any) -> Iterator[Pair]:
    """An Express and a Tornado server on one file."""
    pair = Pair(folder / "shared.db")
    try:
        pair.start("express", {**OPTIONS, **options})
        pair.start("tornado", {**OPTIONS, **options, **(tornado or {})})
        yield pair
    finally:
        pair.stop()


@contextlib.contextmanager
def slow_read_at_express(pair: Pair, visitor: Visitor) -> Iterator[list[Reply]]:
    """A request that has read the session at Express and ends after the body of the `with`. Gives its answer then."""
    answer: list[Reply] = []
    with ThreadPoolExecutor(1) as pool:
        slow = visitor.start(pool, pair.express, ("get", "user"), ("hold", "slow"))
        control(pair.express, "arrived/slow")
        try:
            yield answer
        finally:
            control(pair.express, "open/slow")
            answer.append(slow.result())


@with_node
def test_a_slow_reader_shortens_a_lifetime(tmp_path: Path) -> None:
    """Express's touch gives the row the lifetime that the request has read; the text, and the next request, know better."""
    with pair_of(tmp_path) as pair:
        visitor = Visitor()
        sid = visitor.post(pair.express, ("set", "user", "ada")).sid
        with slow_read_at_express(pair, visitor):
            visitor.post(pair.tornado, ("set", "remembered", True), ("set_max_age", 30 * DAY))
            remembered = pair.row(sid)
        shortened = pair.row(sid)
        visitor.post(pair.tornado, ("get", "user"))
        again = pair.row(sid)

    in_a_day = time.time() * 1000 + DAY
    assert remembered.expired > in_a_day
    assert shortened.expired < in_a_day
    assert shortened.text == remembered.text
    assert again.expired > in_a_day


@with_node
def test_a_slow_rolling_answer_signs_out(tmp_path: Path) -> None:
    """Express sends the id that its request came with, although a login at Tornado has left a tombstone there."""
    with pair_of(tmp_path, rolling=True) as pair:
        visitor = Visitor()
        old = visitor.post(pair.express, ("set", "user", "ada")).sid
        with slow_read_at_express(pair, visitor) as late:
            new = visitor.post(pair.tornado, ("regenerate",), ("set", "user", "bob")).sid

        assert '"closed"' in pair.row(old).text
        assert pair.has(new)
        assert str(old) in late[0].set_cookies[0]
        assert visitor.post(pair.tornado, ("data",)).results == [{}]


@with_node
def test_node_does_not_renew_a_browser_session(tmp_path: Path) -> None:
    """A read at Express leaves the expiry of a session without maxAge where it is, one at Tornado moves it."""
    with pair_of(tmp_path, tornado={"touchAfter": 0}, cookie={}) as pair:
        visitor = Visitor()
        sid = visitor.post(pair.express, ("set", "user", "ada")).sid
        made = pair.row(sid)
        wait_until(lambda: time.time() * 1000 > made.expired - DAY + 50, 5)
        visitor.post(pair.express, ("get", "user"))
        by_express = pair.row(sid)
        visitor.post(pair.tornado, ("get", "user"))
        by_tornado = pair.row(sid)

    assert by_express == made
    assert by_tornado.expired > made.expired
    assert by_tornado.text == made.text


@with_node
@with_nginx
def test_a_route_moves_over_and_back(tmp_path: Path) -> None:
    """By the lines of the page in the example's nginx.conf and a reload: the visitor stays signed in throughout."""
    with contextlib.ExitStack() as stack:
        pair = stack.enter_context(pair_of(tmp_path, proxy=True))
        port = free_port()
        conf = (EXAMPLE / "nginx.conf").read_text()
        for old, new in (("3001", pair.express), ("3002", pair.tornado), ("8080", port)):
            assert conf.count(f"127.0.0.1:{old}") == 1
            conf = conf.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        first = conf.index("location /node/")
        moved = conf[:first] + block("nginx") + "}\n}\n"
        before = moved.replace(block("nginx").splitlines()[0], "")
        assert before != moved
        file = tmp_path / "nginx.conf"
        file.write_text(before)
        nginx = stack.enter_context(
            Process(
                ["nginx", "-e", "stderr", "-p", tmp_path, "-c", file], cwd=tmp_path, env={"PATH": os.environ["PATH"]}
            )
        )
        wait_until(lambda: answers(port, nginx), 10)
        visitor = Visitor()

        def is_express(path: str) -> bool:
            return visitor.post(port, ("get", "user"), path=path).headers["X-Powered-By"] == "Express"

        def reload(text: str) -> None:
            file.write_text(text)
            os.kill(nginx.pid, signal.SIGHUP)

        sid = visitor.post(port, ("set", "user", "ada"), path="/account/").sid
        assert is_express("/account/")
        reload(moved)
        wait_until(lambda: not is_express("/account/"), 10)
        there = visitor.post(port, ("data",), ("set", "theme", "dark"), path="/account/")
        assert is_express("/elsewhere")
        reload(before)
        wait_until(lambda: is_express("/account/"), 10)
        back = visitor.post(port, ("data",), path="/account/")

    assert (there.sid, there.results[0]) == (sid, {"user": "ada"})
    assert (back.sid, back.results[0]) == (sid, {"user": "ada", "theme": "dark"})
