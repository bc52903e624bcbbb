"""config.toml against the code: each option, its default, the two blocks to switch on, and what is said of a mistake."""

import dataclasses
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from installed import install
from processes import ROOT, SECRET, Server, command, environment, run

from serving.options import ServerOptions, read_config
from sessions import ABSENT, CookieOptions, OptionsError, SessionOptions
from sessions.key_options import EncryptionOptions, HashingOptions
from sessions.stores.tables import STORE_OPTIONS
from sessions.sweeper import SweeperOptions
from sessions.validation import express_names

CONFIG = (ROOT / "config.toml").read_text("utf-8")

TABLES: dict[str, type[Any]] = {
    "server": ServerOptions,
    "session": SessionOptions,
    "session.cookie": CookieOptions,
    "session.encryption": EncryptionOptions,
    "session.hashing": HashingOptions,
    **STORE_OPTIONS,
    "sweeper": SweeperOptions,
}

PYTHON_ONLY = {"genid", "cookie", "encryption", "hashing"}
"""Of the session's options: a function has no place in a file, and what is a table has lines of its own."""


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
            comment = content.partition(" # ")[2].strip()
            found.append(Line(place, name, value, comment, not match[1], line.removeprefix("# ")))
        elif found and (match := re.match(r" +# (.*)", line)):
            found[-1] = found[-1]._replace(comment=f"{found[-1].comment} {match[1]}".strip())
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
    text = '[one]\na = 1  # b\n     # c\n# c.d = "#"    # not set: 1\n# ---- Block:\n# e = 1\n# ----\n[two] # so\n# f = [] # g\n'

    found = lines(text)

    assert found == [
        ("one", "a", 1, "b c", True, "a = 1  # b"),
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
        assert "not set" in line.comment.lower() or (line.value is False and default is ABSENT)
    elif default == [] != line.value:
        assert "not set" in line.comment.lower()
    elif line.is_on and line.value != default:
        assert f"(default {str(default).lower()})" in line.comment
    else:
        assert (line.value, type(line.value) is bool) == (default, type(default) is bool)


@each_line
def test_a_line_works_when_its_sign_is_removed(folder: Path, line: Line) -> None:
    """As it is, alone: the option then has the value that was shown."""
    for each in line.value if line.name == "keys" else ():
        Path(each["file"]).touch(0o600)
        Path(each["file"]).write_text(32 * "2a")
    needs = {"proxySecure": "proxy = true\n", "maxPerUser": 'userKey = "username"\n'}.get(line.name, "") + (
        f'secret = "{SECRET}"\n' if line.table.startswith("session") and line.name != "secret" else ""
    )
    needs += "hashedIds = true\n" * (line.table == "session.hashing" and line.name == "keys")
    (folder / "config.toml").write_text(f"[{line.table.partition('.')[0]}]\n{needs}{line.text}\n")

    config = read_config(Path("config.toml"))

    table, _, inner = line.table.partition(".")
    options: Any = config.tables[table]
    options = getattr(options, inner) if inner else options
    value = getattr(options, express_names(TABLES[line.table])[line.name])
    assert value == ((line.value.encode(),) if line.name == "secret" else line.value)


def test_the_seeds_options_are_on(folder: Path) -> None:
    """As it is: port 3000, resave off, saveUninitialized on, this machine only; what /set-session sets is the user."""
    config = read_config(ROOT / "config.toml", make_secret=False)

    assert (config.server.port, config.server.is_local) == (3000, True)
    assert (config.session.resave, config.session.save_uninitialized) == (False, True)
    assert config.session.cookie == CookieOptions()
    assert config.session.user_key == "username"


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
    "[sesion]\n": "[sesion]: no such table; did you mean [session]?",
    "port = 3000\n": "[port]: no such table; known are server",
    "server = 3000\n": "server: expected a table [server]",
    "[server]\nprot = 1\n": "[server] prot: no such option; did you mean port?",
    "[server]\nPort = 1\n": "[server] Port: no such option; did you mean port?",
    "[server]\nxyz = 1\n": "[server] xyz: no such option; known are port, address",
    "[server]\npath = 1\n": "[server] path: no such option; it belongs to [session] as cookie.path",
    "[server]\nmaxAge = 1\n": "[server] maxAge: no such option; it belongs to [session] as cookie.maxAge",
    "[server]\nrolling = true\n": "[server] rolling: no such option; it belongs to [session]",
    "[server]\ninterval = 1\n": "[server] interval: no such option; it belongs to [sweeper]",
    "[session]\nport = 3000\n": "[session] port: no such option; it belongs to [server]",
    "[session]\nlogLevel = 'info'\n": "[session] logLevel: no such option; it belongs to [server]",
    "[cookie]\nmaxAge = 86400000\n": "[cookie]: no such table; the cookie's options are lines of [session]",
    '[server]\nlog = "JSON"\n': '[server] log: expected "text" or "json", got \'JSON\'',
    "[server]\nlog = true\n": '[server] log: expected "text" or "json", got True',
    '[server]\nlogLevel = "warn"\n': '[server] logLevel: expected "debug", "info", "warning" or "error", got \'warn\'',
    "[server]\ntrusted_downstream = []\n": "[server] trusted_downstream: no such option; did you mean trustedDownstream?",
    '[server]\nport = "3000"\n': "[server] port: expected a whole number from 0 to 65535, got '3000'",
    "[server]\nport = true\n": "[server] port: expected a whole number",
    "[server]\nport = 65536\n": "[server] port: expected a whole number from 0 to 65535, got 65536",
    "[server]\nworkers = 0\n": "[server] workers: expected a whole number from 1",
    "[server]\nworkers = 1.5\n": "[server] workers: expected a whole number from 1",
    "[server]\naddress = 127\n": "[server] address: expected an IP address",
    "[server]\ndrain = -1\n": "[server] drain: expected a number of milliseconds",
    "[server]\ndrain = inf\n": "[server] drain: expected a number of milliseconds",
    f"[server]\ndrain = {'1' * 400}\n": "[server] drain: expected a number of milliseconds",
    '[server]\nxheaders = "yes"\n': "[server] xheaders: expected true or false, got 'yes'",
    '[server]\ntrustedDownstream = "10.0.0.1"\n': "[server] trustedDownstream: expected a list",
    '[server]\nworkers = 2\n[session]\nstore = "memory:"\n': "[server] workers: memory:",
    "[session]\nrolling = 1\n": "[session] rolling: expected true or false, got 1",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_for_the_server_is_named(folder: Path, text: str) -> None:
    """By file, table and option, with what was expected or the nearest name; no secret is made."""
    file = folder / "my.toml"
    file.write_text(text)

    with pytest.raises(OptionsError) as error:
        read_config(file)

    assert str(error.value).startswith(f"{file}: {MISTAKES[text]}")
    assert list(folder.iterdir()) == [file]


# ---------------------------------------------------------------- --check


def test_check_prints_what_counts(tmp_path: Path) -> None:
    """Every option of every table with its value, the file's or the default, and the secret masked. Nothing is made."""
    config = '[server]\nport = 1\n[session]\nsecret = "the-file-has-a-secret-of-some-length"\ncookie.maxAge = 60000\n'

    result = run(tmp_path, config, "--check", "--port", 4000, secret=None)

    assert (result.returncode, result.stderr) == (0, "")
    tables = [part.partition("]\n") for part in re.split(r"^\[", result.stdout, flags=re.MULTILINE)[1:]]
    shown = {table: {line.partition(" = ")[0] for line in body.splitlines()} for table, _, body in tables}
    keys = {"session.encryption", "session.hashing"}  # not set: a line in [session]
    assert shown == {
        table: set(express_names(kind)) - {"cookie"} for table, kind in TABLES.items() if table not in keys
    }
    for line in ("port = 4000", "secret = ********", "maxAge = 60000", 'durability = "full"', "proxy = (not set)"):
        assert f"{line}\n" in result.stdout
    assert "the-file-has" not in result.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["config.toml"]


def test_check_says_what_excludes_a_node_server(tmp_path: Path) -> None:
    """In a line behind the tables; with `nodePeer` it is an error."""
    config = "[session]\nrenewAfter = 3600000\n"

    alone, together = run(tmp_path, config, "--check"), run(tmp_path, f"{config}nodePeer = true\n", "--check")

    assert alone.stdout.endswith(
        "# renewAfter: a Node server that shares this store needs five lines of its own (docs/renewal.md)\n"
    )
    assert together.returncode == 2
    assert "[session] renewAfter: not with nodePeer" in together.stderr


async def test_a_store_of_an_installed_package_serves(start: Callable[..., Server], tmp_path: Path) -> None:
    """It is chosen by one line of the file, and its options have a table; `--check` shows them."""
    install(tmp_path, "packaged")
    config = '[session]\nstore = "packaged:x"\n[packaged]\nshelfSize = 5\napiKey = "hush"\n'
    under = ["env", f"PYTHONPATH={tmp_path}"]

    browser = start(config, under=under).browser()
    await browser.fetch("/set-session")
    response = await browser.fetch("/get-session")
    check = start(config, "--config", "config.toml", "--check", under=under)
    status = await check.ended()

    assert response.text == "Session data: exampleuser"
    assert status == 0
    assert "[packaged]\nshelfSize = 5\napiKey = ********\n" in check.output


REFUSED = {
    "[sweeper]\nbatch = 0\n": "[sweeper] batch: expected a number of at least 1, got 0",
    "[session]\nresave = False\n": "Invalid value (at line 2, column 10): resave = False (a switch is true or false",
    "[session]\nttl = 60 * 1000\n": "(at line 2, column 10): ttl = 60 * 1000 (TOML does not calculate: write the result)",
    "[session]\ncookie.maxAge = 60000\ntouchAfter = 60000\n": "[session] touchAfter: expected less than cookie.maxAge,",
    '[session]\nstore = "memory:redis://me:hush@h"\n': "[session] store: memory: takes no path, got 'memory:********@h'",
    '[session]\nstore = ["redis://me:hush@h", "redis://me:hush@i"]\n': "got ['redis://********@h', 'redis://********@i']",
}


@pytest.mark.parametrize("text", REFUSED)
def test_check_finds_a_mistake(tmp_path: Path, text: str) -> None:
    """As a start would: status 2 and one line, which shows no password."""
    result = run(tmp_path, text, "--check")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("config.toml: ")
    assert result.stderr.count("\n") == 1
    assert REFUSED[text] in result.stderr
    assert "hush" not in result.stderr


@pytest.mark.parametrize("text", ["", "[session]\nttl = 60\n"])
def test_check_may_be_read_in_part(tmp_path: Path, text: str) -> None:
    """`--check | head` closes the pipe: nobody wants to see an error then, and the file is in order."""
    (tmp_path / "config.toml").write_text(text)
    reading, writing = os.pipe()
    os.close(reading)

    result = subprocess.run(
        command("--config", "config.toml", "--check"),
        cwd=tmp_path, env=environment(tmp_path, secret=SECRET), stdout=writing, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writing)

    assert result.returncode == 0
    assert result.stderr.count(b"\n") == (1 if text else 0)


UNUSUAL = {
    "[session]\ncookie.maxAge = 3600\n": "[session] cookie.maxAge: 3600 are milliseconds; for as many seconds write 3600000",
    "[session]\ncookie.maxAge = 86400\n": "[session] cookie.maxAge: 86400 are milliseconds; for as many seconds write 86400000",
    "[server]\ndrain = 10\n": "[server] drain: 10 are milliseconds; for as many seconds write 10000",
    "[sweeper]\ninterval = 60\n": "[sweeper] interval: 60 are milliseconds; for as many seconds write 60000",
    "[session]\ncookie.expires = 2020-01-01T00:00:00Z\n": "[session] cookie.expires: 2020-01-01 00:00:00+00:00 has passed",
    '[session]\nname = "__Host-sid"\ncookie.secure = true\n': "[session] cookie.secure = true: no browser gets the cookie",
}


@pytest.mark.parametrize("text", UNUSUAL)
def test_check_warns_of_what_is_mostly_a_mistake(tmp_path: Path, text: str) -> None:
    """In the log, beside what counts: the status is 0."""
    result = run(tmp_path, text, "--check")

    assert result.returncode == 0
    assert result.stderr.count("\n") == 1
    assert f" WARNING {result.stderr.split()[2]} - sessions: {UNUSUAL[text]}" in result.stderr
    assert result.stdout.startswith("[server]\n")


async def test_a_start_warns_of_it_too(start: Callable[..., Server]) -> None:
    """As the log is configured."""
    server = await start('[server]\nlog = "json"\n[session]\nttl = 3600\nstore = "memory:"\n').serving()

    first = json.loads(server.output.partition("\n")[0])
    assert (first["level"], first["message"]) == (
        "WARNING",
        "[session] ttl: 3600 are milliseconds; for as many seconds write 3600000",
    )


@pytest.mark.parametrize(
    "text",
    [
        '[session]\nname = "__Host-sid"\ncookie.secure = true\nproxy = true\n',
        '[server]\nxheaders = true\n[session]\nname = "__Host-sid"\ncookie.secure = true\n',
        '[session]\ncookie.secure = "auto"\n',
    ],
)
def test_a_secure_cookie_behind_a_proxy_is_taken_without_a_word(tmp_path: Path, text: str) -> None:
    """There its requests came over TLS."""
    assert run(tmp_path, text, "--check").stderr == ""
