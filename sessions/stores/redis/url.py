"""Owns the URLs of Redis: what each form says, and what is said of one that says nothing. It must not open anything.

    redis://user:password@host:port/db            valkey:// is the same; rediss:// and valkeys:// over TLS
    unix:///path/to/socket?db=0
    redis+sentinel://host:port,host:port/service/db       user and password are those of the servers
    redis+cluster://host:port,host:port                   some of the nodes; the others are learnt from them

No OptionsError shows a user, a password or a host.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ...errors import OptionsError
from ...validation import unknown_key

Kind = Literal["", "sentinel", "cluster"]
Address = tuple[str, int]

_PORTS = {"": 6379, "sentinel": 26379, "cluster": 6379}
_EXPECTED = {
    "": "redis://[user:password@]host[:port][/db]",
    "unix": "unix:///path/to/socket[?db=number]",
    "sentinel": "redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db]",
    "cluster": "redis+cluster://[user:password@]host[:port][,host[:port]…]",
}
_HOSTS = re.compile("[^/?#]*")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_WORDS = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


@dataclass(frozen=True)
class Target:
    """What a URL names."""

    kind: Kind
    addresses: tuple[Address, ...]
    """Of the server, of the sentinels, or of some nodes of the cluster. None where it is a socket's path."""
    tls: bool
    service: str
    """The name under which Sentinel knows the master."""
    login: dict[str, Any] = field(repr=False)
    """What redis-py calls db, username, password, path, and its options for TLS."""
    sentinel_login: dict[str, Any] = field(repr=False)

    @property
    def place(self) -> str:
        """What an error names: neither user nor password is in it."""
        if not self.addresses:
            return f"redis at {self.login['path']}"
        hosts = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)
        return f"redis {self.kind or 'at'} {hosts}"


def parse(url: str) -> Target:
    """Read a URL. Raises OptionsError."""
    scheme, _, _ = url.partition(":")
    base, _, kind = scheme.partition("+")
    if base == "unix":
        return _parse_socket(url)
    expected = _EXPECTED.get(kind)
    if base not in ("redis", "rediss", "valkey", "valkeys") or expected is None:
        raise OptionsError(f"store: expected {_EXPECTED['']}")
    tls = base.endswith("s") and base != "redis"
    parts = _split(url, expected)
    options = _query(parts, (*(_TLS_OPTIONS if tls else ()), *(_SENTINEL_OPTIONS if kind == "sentinel" else ())))
    userinfo, _, hosts = parts.netloc.rpartition("@")
    addresses = tuple(_address(each, _PORTS[kind], expected) for each in hosts.split(","))
    path = [unquote(each) for each in parts.path.removeprefix("/").split("/")] if parts.path not in ("", "/") else []
    service = ""
    if kind == "sentinel":
        if not path or not path[0]:
            raise OptionsError(f"store: expected {expected}; the service is missing")
        service = path.pop(0)
    if (kind == "" and len(addresses) > 1) or len(path) > (kind != "cluster"):
        raise OptionsError(f"store: expected {expected}")
    login: dict[str, Any] = {**_login(userinfo), **{name: options[name] for name in options if name in _TLS_OPTIONS}}
    if kind != "cluster":
        login["db"] = _database(path[0] if path else "0", expected)
    if "ssl_check_hostname" in login:
        login["ssl_check_hostname"] = login["ssl_check_hostname"] == "true"
    sentinel_login = {name.removeprefix("sentinel_"): options[name] for name in options if name in _SENTINEL_OPTIONS}
    return Target(kind, addresses, tls, service, login, sentinel_login)  # type: ignore[arg-type] # a key of _EXPECTED


def _parse_socket(url: str) -> Target:
    expected = _EXPECTED["unix"]
    parts = _split(url, expected)
    userinfo, _, host = parts.netloc.rpartition("@")
    if host or len(parts.path) <= 1:
        raise OptionsError(f"store: expected {expected}")
    options = _query(parts, ("db",))
    login = {"path": unquote(parts.path), "db": _database(options.get("db", "0"), expected), **_login(userinfo)}
    return Target("", (), False, "", login, {})


def _split(url: str, expected: str) -> SplitResult:
    """The parts of a URL; its hosts are not looked at, since Python 3.14 refuses [::1] in a list of them."""
    scheme, _, rest = url.partition("://")
    hosts = _HOSTS.match(rest)[0]  # type: ignore[index] # it matches everything
    try:
        parts = urlsplit(f"{scheme}://{rest[len(hosts) :]}")._replace(netloc=hosts)
    except ValueError:
        raise OptionsError(f"store: expected {expected}") from None
    if parts.fragment or not url.startswith(f"{parts.scheme}://"):
        raise OptionsError(f"store: expected {expected}")
    return parts


def _query(parts: SplitResult, known: tuple[str, ...]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            if not known:
                raise OptionsError(f"store: {parts.scheme}:// takes no ?{name}")
            raise unknown_key(name, known, "store: ")
        words = _WORDS.get(name)
        if not value or (words and value not in words):
            raise OptionsError(f"store: {name}: expected {' or '.join(words) if words else 'a value'}")
        options[name] = value
    return options


def _login(userinfo: str) -> Mapping[str, str]:
    """The user and the password; `password@` without a user is written `:password@`."""
    user, _, password = userinfo.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in named.items() if value}


def _address(text: str, port: int, expected: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, given = parts.hostname, parts.port
    except ValueError:
        host = given = None
    if not host or parts.netloc != text or text.endswith(":"):
        raise OptionsError(f"store: expected {expected}")
    return host, port if given is None else given


def _database(text: str, expected: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise OptionsError(f"store: expected {expected}; db is a number")
    return int(text)
