"""config.toml against the code: each option, its default, the two blocks to switch on, and what is said of a mistake."""

import dataclasses
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from processes import ROOT, SECRET, Server, run

from server import MemoryOptions, ServerOptions, SQLiteOptions, SweeperOptions, read_config
from sessions import ABSENT, CookieOptions, OptionsError, SessionOptions
from sessions.options import express_names

CONFIG = (ROOT / "config.toml").read_text("utf-8")

TABLES: dict[str, type[Any]] = {
    "server": ServerOptions,
    "session": SessionOptions,
    "session.cookie": CookieOptions,
    "sqlite": SQLiteOptions,
    "memory": MemoryOptions,
    "sweeper": SweeperOptions,
}

PYTHON_ONLY = {"genid", "cookie"}
"""Of the session's options: a function has no place in a file, and the cookie's have lines of their own."""


# ---------------------------------------------------------------- the file, line by line


class Line(NamedTuple):
    """A line that gives an option."""

    table: str
    name: str
    value: Any
    comment: str
    is_on: bool
    text: str
    """The line without its sign."""

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"

    @property
    def default(self) -> Any:
        """What the code has where the file is silent."""
        kind = TABLES[self.table]
        found = next(each for each in dataclasses.fields(kind) if each.name == express_names(kind)[self.name])
        return found.default


def lines(text: str) -> list[Line]:
    """The options of the file, whether they are on or behind a "# ". The two blocks are not among them."""
    found, table, is_block = [], "", False
    for line in text.splitlines():
        if line.startswith("# ----"):
            is_block = line != "# ----"
        elif match := re.match(r"\[(\w+)\]", line):
            table = match[1]
        elif not is_block and (match := re.match(r"(# )?([A-Za-z.]+) = ", line)):
            content = line[match.end() :]
            value = tomllib.loads(f"value = {content}")["value"]
            place, _, name = f"{table}.{match[2]}".rpartition(".")
            comment = content.rpartition(" # ")[2].strip()
            found.append(Line(place, name, value, comment, not match[1], line.removeprefix("# ")))
    return found


def blocks(text: str) -> list[tuple[str, str]]:
    """Each block's heading, and the file with that block's comment signs removed."""
    found = []
    for match in re.finditer(r"((?:^# ---- .*\n)+)((?:^# (?!----).*\n)+)^# ----\n", text, re.MULTILINE):
        on = re.sub("^# ", "", match[2], flags=re.MULTILINE)
        found.append((match[1], text[: match.start(2)] + on + text[match.end(2) :]))
    return found


LINES = lines(CONFIG)
each_line = pytest.mark.parametrize("line", LINES, ids=str)


def test_the_reading_of_the_file() -> None:
    """Lines that are on, lines behind a sign, strings with a sign in them, blocks: what the tests below rest on."""
    text = '[one]\na = 1  # b\n# c.d = "#"    # not set: 1\n# ---- Block:\n# e = 1\n# ----\n[two] # so\n# f = [] # g\n'

    found = lines(text)

    assert found == [
        ("one", "a", 1, "b", True, "a = 1  # b"),
        ("one.c", "d", "#", "not set: 1", False, 'c.d = "#"    # not set: 1'),
        ("two", "f", [], "g", False, "f = [] # g"),
    ]
    assert [on for _, on in blocks(text)] == [text.replace("# e", "e")]


@pytest.mark.parametrize("table", TABLES)
def test_every_option_has_its_line(table: str) -> None:
    """Each of the code's once, and none that the code does not have."""
    names = [line.name for line in LINES if line.table == table]

    expected = set(express_names(TABLES[table]))
    assert sorted(names) == sorted(expected - PYTHON_ONLY if table == "session" else expected)


@pytest.mark.parametrize("line", [line for line in LINES if line.name != "secret"], ids=str)
def test_what_a_line_shows_is_the_default(line: Line) -> None:
    """A line shows the code's default, or its comment says "not set: ..." (or what the default is)."""
    default = list(line.default) if isinstance(line.default, tuple) else line.default

    if default is None or default is ABSENT:
        assert "not set" in line.comment or (line.value is False and default is ABSENT)
    elif line.is_on and line.value != default:
        assert f"(default {str(default).lower()})" in line.comment
    else:
        assert (line.value, type(line.value) is bool) == (default, type(default) is bool)


@each_line
def test_a_line_works_when_its_sign_is_removed(folder: Path, line: Line) -> None:
    """As it stands, alone: the option then has the value that was shown."""
    needs = {"proxySecure": "proxy = true\n"}.get(line.name, "") + (
        f'secret = "{SECRET}"\n' if line.table.startswith("session") and line.name != "secret" else ""
    )
    (folder / "config.toml").write_text(f"[{line.table.partition('.')[0]}]\n{needs}{line.text}\n")

    config = read_config(Path("config.toml"))

    table, _, inner = line.table.partition(".")
    options: Any = getattr(config, table)
    options = getattr(options, inner) if inner else options
    value = getattr(options, express_names(TABLES[line.table])[line.name])
    assert value == ((line.value.encode(),) if line.name == "secret" else line.value)


def test_the_seeds_options_are_on(folder: Path) -> None:
    """As it is: port 3000, resave off, saveUninitialized on, this machine only."""
    config = read_config(ROOT / "config.toml", make_secret=False)

    assert (config.server.port, config.server.is_local) == (3000, True)
    assert (config.session.resave, config.session.save_uninitialized) == (False, True)
    assert config.session.cookie == CookieOptions()


# ---------------------------------------------------------------- the two blocks


async def test_the_stricter_block(start: Callable[..., Server]) -> None:
    """Without its signs it is the seed's second set of options, and the cookie behind a proxy is as it says."""
    heading, config = blocks(CONFIG)[0]
    server = start(config, secret=None)

    response = await server.browser(proxied=True).fetch("/set-session")

    assert "tricter" in heading
    (cookie,) = response.set_cookies
    pattern = r"mySession=s%3A[^;]+; Path=/; Expires=[^;]+ GMT; HttpOnly; Secure; SameSite=Strict"
    assert re.fullmatch(pattern, cookie)


async def test_the_production_block(start: Callable[..., Server]) -> None:
    """Without its signs the cookie is as ASVS 5.0 (3.3.1 to 3.3.5) asks, also when it is removed, and none is set unasked."""
    heading, config = blocks(CONFIG)[1]
    assert config.count("saveUninitialized = true ") == 1
    server = start(config.replace("saveUninitialized = true ", "saveUninitialized = false "), secret=None)
    browser = server.browser(proxied=True)

    unasked = await browser.fetch("/get-session")
    (header,) = (await browser.fetch("/set-session")).set_cookies
    cookie = browser.cookie("__Host-sid")
    page = await browser.fetch("/")
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert token is not None
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    gone = await browser.fetch("/destroy", method="POST", body=f"_xsrf={token[1]}".encode(), headers=form)

    assert "production" in heading
    assert "ASVS" in heading
    assert unasked.set_cookies == []
    assert cookie is not None, "a browser refuses it"
    assert dict(cookie.attributes) == {"path": "/", "httponly": True, "secure": True, "samesite": "Lax"}
    assert len(header.partition(";")[0]) - 1 <= 4096
    (clearing,) = gone.set_cookies
    assert re.fullmatch(r"__Host-sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure.*", clearing)
    assert browser.cookie("__Host-sid") is None


async def test_every_cookie_of_production_is_secure(start: Callable[..., Server]) -> None:
    """The one against forged forms too (ASVS 3.3.1)."""
    server = start(blocks(CONFIG)[1][1], secret=None)

    response = await server.browser(proxied=True).fetch("/")

    assert len(response.set_cookies) == 2
    assert [each for each in response.set_cookies if "; secure" not in each.lower()] == []
    assert [each for each in response.set_cookies if not each.startswith(("__Host-", "__Secure-"))] == []


# ---------------------------------------------------------------- mistakes

MISTAKES = {
    "[sesion]\n": ("[sesion]", "session"),
    "port = 3000\n": ("port", "server"),
    "server = 3000\n": ("server", "table"),
    "[server]\nprot = 1\n": ("[server] prot: no such option; did you mean port?",),
    "[server]\nPort = 1\n": ("[server] Port: no such option; did you mean port?",),
    "[server]\nxyz = 1\n": ("[server] xyz: no such option; known are port, address",),
    "[server]\ntrusted_downstream = []\n": ("[server] trusted_downstream", "did you mean trustedDownstream?"),
    '[server]\nport = "3000"\n': ("[server] port: expected a whole number from 0 to 65535, got '3000'",),
    "[server]\nport = true\n": ("[server] port: expected a whole number",),
    "[server]\nport = 65536\n": ("[server] port: expected a whole number from 0 to 65535, got 65536",),
    "[server]\nworkers = 0\n": ("[server] workers: expected a whole number from 1",),
    "[server]\nworkers = 1.5\n": ("[server] workers: expected a whole number from 1",),
    "[server]\naddress = 127\n": ("[server] address: expected an IP address",),
    "[server]\ndrain = -1\n": ("[server] drain: expected a number of milliseconds",),
    "[server]\ndrain = inf\n": ("[server] drain: expected a number of milliseconds",),
    '[server]\nxheaders = "yes"\n': ("[server] xheaders: expected true or false, got 'yes'",),
    '[server]\ntrustedDownstream = "10.0.0.1"\n': ("[server] trustedDownstream: expected a list",),
    "[session]\nsaveUninitialised = true\n": ("[session] saveUninitialised", "did you mean saveUninitialized?"),
    "[session]\nmaxAge = 1\n": ("[session] maxAge", "did you mean cookie.maxAge?"),
    "[session]\ncookie.maxage = 1\n": ("[session] cookie.maxage", "did you mean cookie.maxAge?"),
    "[session]\ncookie = 1\n": ("[session] cookie: expected a table of cookie options",),
    "[session]\nproxySecure = true\n": ("[session] proxySecure: needs proxy = true",),
    '[session]\nstore = "sqllite:sessions.db"\n': ("[session] store: ", "sqllite", "sqlite"),
    '[session]\nstore = "sessions.db"\n': ("[session] store: expected a URL such as sqlite:sessions.db",),
    '[session]\nstore = "memory:5"\n': ("[session] store: memory: takes no path",),
    "[sqlite]\ndurable = 1\n": ("[sqlite] durable: no such option; did you mean durability?",),
    '[sqlite]\ndurability = "ful"\n': ('[sqlite] durability: expected "full" or "normal", got \'ful\'',),
    "[sqlite]\nbusyTimeout = -1\n": ("[sqlite] busyTimeout: expected a number of milliseconds",),
    "[memory]\nmaxSession = 1\n": ("[memory] maxSession: no such option; did you mean maxSessions?",),
    '[session]\nstore = "memory:"\n[memory]\nmaxSessions = 0\n': (
        "[memory] maxSessions: expected a whole number above 0, got 0",
    ),
    "[session]\nabsoluteTimeout = 0\n": ("[session] absoluteTimeout: expected a number of milliseconds above 0",),
    '[session]\nmaxBytes = "1M"\n': ("[session] maxBytes: expected a whole number of bytes, 0 for no limit, got '1M'",),
    "[sweeper]\nintervall = 1\n": ("[sweeper] intervall: no such option; did you mean interval?",),
    "[sweeper]\ninterval = 0\n": ("[sweeper] interval: expected a number",),
    "[sweeper]\nbatch = 1.5\n": ("[sweeper] batch: expected a whole number",),
    "[sweeper]\njitter = 1\n": ("[sweeper] jitter: expected a share",),
    '[server]\nworkers = 2\n[session]\nstore = "memory:"\n': ("[server] workers: memory:",),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named(folder: Path, text: str) -> None:
    """By file, table and option, with what was expected or the nearest name."""
    file = folder / "my.toml"
    file.write_text(text)

    with pytest.raises(OptionsError) as error:
        read_config(file)

    assert str(error.value).startswith(f"{file}: ")
    assert [words for words in MISTAKES[text] if words not in str(error.value)] == []


FOUND = {
    "a nest of brackets": ("a = " + "[" * 1_500, "recursion"),
    "digits without end": ("[server]\nport = " + "1" * 5_000, "digits"),
    "a drain without end": ("[server]\ndrain = " + "1" * 400, "[server] drain: expected a number of milliseconds"),
    "a file's name without end": (f'[session]\nstore = "sqlite:{"a" * 300}"', "File name too long"),
    "a folder's name without end": (f'[session]\nstore = "sqlite:{"a" * 300}/b"', "File name too long"),
    "NUL in a file's name": ('[session]\nstore = "sqlite:a\\u0000b"', "[session] store: expected sqlite:PATH"),
    "an interval without end": ("[sweeper]\ninterval = " + "1" * 400, "[sweeper] interval: expected a number"),
    "a wait that SQLite takes for none": (
        "[sqlite]\nbusyTimeout = 3000000000",
        "[sqlite] busyTimeout: expected a number",
    ),
}
"""What fuzzing has found: each was a traceback, or the last one no wait at all."""


@pytest.mark.parametrize("kind", FOUND)
def test_what_fuzzing_has_found_is_named_too(folder: Path, kind: str) -> None:
    """As any other mistake is."""
    text, words = FOUND[kind]
    file = folder / "my.toml"
    file.write_text(text)

    with pytest.raises(OptionsError) as error:
        read_config(file)

    assert str(error.value).startswith(f"{file}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("store", ["sqllite:mine.db", "sqlite:mine.db?mode=ro", "memory:5", "sqlite:mine.db"])
def test_a_mistake_leaves_nothing_behind(folder: Path, store: str) -> None:
    """No secret is made for a configuration that is refused, wherever its mistake is."""
    file = folder / "my.toml"
    file.write_text(f'[session]\nstore = "{store}"\n[sweeper]\nbatch = 0\n')

    with pytest.raises(OptionsError):
        read_config(file)

    assert list(folder.iterdir()) == [file]


# ---------------------------------------------------------------- --check


def test_check_prints_what_counts(tmp_path: Path) -> None:
    """Every option of every table with its value, the file's or the default, and the secret masked. Nothing is made."""
    config = '[server]\nport = 1\n[session]\nsecret = "the-file-has-a-secret-of-some-length"\ncookie.maxAge = 5\n'

    result = run(tmp_path, config, "--check", "--port", 4000, secret=None)

    assert (result.returncode, result.stderr) == (0, "")
    tables = [part.partition("]\n") for part in re.split(r"^\[", result.stdout, flags=re.MULTILINE)[1:]]
    shown = {table: {line.partition(" = ")[0] for line in body.splitlines()} for table, _, body in tables}
    assert shown == {table: set(express_names(kind)) - {"cookie"} for table, kind in TABLES.items()}
    for line in ("port = 4000", "secret = ********", "maxAge = 5", 'durability = "full"', "proxy = (not set)"):
        assert f"{line}\n" in result.stdout
    assert "the-file-has" not in result.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


def test_check_finds_a_mistake(tmp_path: Path) -> None:
    """As a start would: status 2 and the message."""
    result = run(tmp_path, "[sweeper]\nbatch = 0\n", "--check")

    assert (result.returncode, result.stdout) == (2, "")
    assert "batch: expected a number of at least 1, got 0" in result.stderr
