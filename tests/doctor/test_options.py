"""Options, secrets and the files that hold them: what is found in a configuration file."""

# files are what is tested, and nobody else is on the loop

import os
import socket
from pathlib import Path

import pytest

from sessions.findings import Finding
from sessions.stores.examination import transport
from sessions.stores.redis.url import parse

from .asking import STRONG, by_name, configured

pytestmark = pytest.mark.usefixtures("folder")

ROOT = Path(__file__).parents[2]
NOBODY = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")

SERVER = '[server]\naddress = "127.0.0.1"\n'
EXPOSED = '[server]\naddress = "192.0.2.1"\n'
STRICT = """
name = "__Host-sid"
absoluteTimeout = 86400000
userKey = "user"
secretFile = "kept"
cookie = { secure = true, path = "/", httpOnly = true, sameSite = "lax" }
proxy = true
"""


def exposed(session: str = "", *, without: str = "") -> str:
    """A configuration of a server that other machines reach, and that is as the standards ask, but for one line."""
    lines = [line for line in STRICT.splitlines() if not without or not line.startswith(without)]
    return f"{EXPOSED}[session]\n{chr(10).join(lines)}\n{session}\n"


FINDINGS = {
    "[session]\ncookie.maxAge = 3600\n": "options.lifetime-in-seconds",
    "[session]\nttl = 86400\n": "options.lifetime-in-seconds",
    "[sweeper]\ninterval = 60\n": "options.seconds",
    "[session]\ncookie.expires = 2020-01-01T00:00:00Z\n": "options.expires",
    '[session]\nconflict = "overwrite"\nuserKey = "user"\n': "options.overwrite",
    f"{SERVER}[session]\nname = '__Host-sid'\ncookie.secure = true\n": "options.plain-http",
    "[session]\ncookie.secure = true\n": "options.prefix",
    '[session]\ncookie.path = "app"\n': "options.log",
    '[session]\nstore = "memory:"\n[redis]\ntimeout = 9000\n': None,
    f"{EXPOSED}[session]\n{STRICT}": None,
    exposed('store = "memory:"'): "options.memory",
    exposed().replace("192.0.2.1", ""): "options.open-proxy",
    exposed(without="absoluteTimeout"): "standard.absolute-timeout",
    exposed("absoluteTimeout = 3000000000", without="absoluteTimeout"): "standard.absolute-timeout",
    exposed("ttl = 3000000000"): "standard.idle-timeout",
    exposed("saveUninitialized = true"): "standard.uninitialized",
    exposed(without="userKey"): "standard.users",
    exposed("cacheHeaders = false"): "standard.cache-headers",
    exposed("clearCookie = false"): "standard.clear-cookie",
    exposed("name = 'sid'", without="name").replace("secure = true, ", ""): "cookie.secure",
    exposed().replace("httpOnly = true", "httpOnly = false"): "cookie.http-only",
    exposed().replace('"lax"', "false"): "cookie.same-site",
    exposed('name = "__Secure-sid"', without="name").replace('path = "/"', 'domain = "example.com"'): "standard.domain",
    exposed('name = "connect.sid"', without="name").replace('path = "/"', 'path = "/a"'): "standard.name",
    f'[session]\nsecret = "{STRONG}"\n': None,
    '[session]\nsecret = "too short for a secret"\n': "secret.weak",
    f'[session]\nsecret = ["{STRONG}", "an old and short one"]\n': "secret.weak",
    '[session]\nsecret = "keyboard cat"\n': "secret.published",
    '[session]\nsecret = "__TODO:_GENERATE_YOUR_OWN_RANDOM_VALUE_HERE__"\n': "secret.published",
    '[session]\nsecret = "at least 32 bytes of your very own"\n': "secret.published",
    f'{EXPOSED}[session]\n{STRICT}\nsecret = "keyboard cat"\n': "secret.published",
    '[session]\nsecret = "abababababababababababababababababab"\n': "secret.repeats",
    '[session]\nsecret = ""\n': "secret.unread",
}
"""By configuration, what is found; None: nothing."""


@pytest.mark.parametrize(("text", "name"), FINDINGS.items(), ids=lambda each: str(each)[-40:])
async def test_an_option_is_found(text: str, name: str | None) -> None:
    """It alone, and no secret is shown."""
    found = await configured(text)

    assert set(found) == ({name} if name else set())
    assert not any("keyboard cat" in each or STRONG in each for finding in found.values() for each in finding)


async def test_the_configuration_of_this_project_is_well() -> None:
    """Only its file of sessions is not made yet, which `configured` passes over."""
    assert await configured((ROOT / "config.toml").read_text("utf-8")) == {}


async def test_a_limit_that_never_has_its_turn(folder: Path) -> None:
    """The request is given up before; the store is away, which is no matter here."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    found = await configured(f'[session]\nstore = "redis://127.0.0.1:{port}"\n[redis]\ntimeout = 9000\n')

    assert set(found) == {"options.timeouts", "store.away"}


class TestSecrets:
    """The secret of the environment, of a file, and one that was made."""

    async def test_a_weak_one_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It comes before the file's."""
        monkeypatch.setenv("SESSION_SECRET", "shhh")

        assert set(await configured(f'[session]\nsecret = "{STRONG}"\n')) == {"secret.published"}

    async def test_a_file_of_secrets_that_others_read(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever reads it signs in as anybody."""
        (folder / "secrets").write_text(STRONG)
        (folder / "secrets").chmod(0o644)
        monkeypatch.setenv("SESSION_SECRET_FILE", str(folder / "secrets"))

        found = await configured("")

        assert {name: each.severity for name, each in found.items()} == {"file.others": "fault"}
        assert f"{folder / 'secrets'}: its mode is 0644" in found["file.others"].problem

    async def test_a_made_one_that_others_read(self, folder: Path) -> None:
        """As a backup may have left it."""
        (folder / "sessions.db.secret").write_text(STRONG)
        (folder / "sessions.db.secret").chmod(0o644)

        assert set(await configured("")) == {"file.others"}

    @only_root
    async def test_a_made_one_of_a_stranger(self, folder: Path) -> None:
        """Who owns it reads it."""
        (folder / "sessions.db.secret").write_text(STRONG)
        (folder / "sessions.db.secret").chmod(0o600)
        os.chown(folder / "sessions.db.secret", NOBODY, NOBODY)

        found = await configured("")

        assert set(found) == {"file.owner"}
        assert f"belongs to uid {NOBODY}" in found["file.owner"].problem

    async def test_a_made_one_beside_the_sessions(self, folder: Path) -> None:
        """It is in each backup of theirs, which matters for a server that others reach."""
        (folder / "sessions.db.secret").write_text(STRONG)
        (folder / "sessions.db.secret").chmod(0o600)

        assert set(await configured(exposed(without="secretFile"))) == {"secret.beside-store"}

    @pytest.mark.parametrize(
        ("option", "harm"),
        [
            (f'secret = "{STRONG}"', "sign in as anybody"),
            ('store = "redis://:pass-of-a-test@127.0.0.1:1"', "password"),
        ],
    )
    async def test_a_configuration_that_others_read(self, folder: Path, option: str, harm: str) -> None:
        """If it holds a secret, or the password of the store."""
        await configured(f"[session]\n{option}\n")
        (folder / "config.toml").chmod(0o644)

        from sessions.doctor import Subject
        from sessions.doctor.secrets import secrets_and_files

        found = by_name(secrets_and_files(Subject.of_file(folder / "config.toml")))

        assert set(found) == {"file.others"}
        assert harm in found["file.others"].problem
        assert "pass-of-a-test" not in repr(found)


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        ("redis://cache.example.com", True),
        ("redis+sentinel://127.0.0.1,10.0.0.5/service", True),
        ("redis+cluster://10.0.0.5,10.0.0.6", True),
        ("rediss://cache.example.com", False),
        ("redis://localhost", False),
        ("redis://127.0.0.1", False),
        ("redis://[::1]", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_store_on_another_machine_without_tls(url: str, is_found: bool) -> None:
    """What goes over a network can be read there."""
    target = parse(url)
    hosts = [host for host, _ in target.addresses]

    found: list[Finding] = list(transport(hosts, "redis", is_encrypted=target.tls))

    assert [finding.name for finding in found] == ["store.clear-text"] * is_found
