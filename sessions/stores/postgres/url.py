"""Owns the URLs of PostgreSQL: which of their parameters count, and what is said of the others. It opens nothing.

    postgresql://user:password@host:port,host:port/database?sslmode=verify-full&application_name=sessions

Parameters are those of libpq (https://www.postgresql.org/docs/current/libpq-connect.html, "Parameter Key Words"), those
that Prisma adds, and settings of the server. What the driver honours goes to it, what it cannot honour is dropped with
a word in the log, and a demand that dropping would break is refused. No message shows a value.
"""

import functools
import logging
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ...errors import OptionsError

log: logging.Logger = logging.getLogger("sessions")

DRIVER = frozenset((
    "host", "port", "dbname", "database", "user", "password", "passfile", "service", "sslmode", "sslcert", "sslkey",
    "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version",
    "target_session_attrs", "krbsrvname", "gsslib",
))  # fmt: skip
"""What asyncpg honours."""

_POOL = "[postgres] pool says it"
_TIMEOUT = "[postgres] timeout says it"
_NOT_BY_DRIVER = "asyncpg cannot do it"
DROPPED = {
    **dict.fromkeys(("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"), _TIMEOUT),
    **dict.fromkeys(("pool_timeout", "socket_timeout"), _TIMEOUT),
    "connection_limit": _POOL,
    "channel_binding": "asyncpg cannot do it; sslmode=verify-full has the server prove who it is",
    "client_encoding": "it is always UTF8",
    "default_transaction_isolation": "it is always read committed",
    **dict.fromkeys((
        "gssencmode", "gssdelegation", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "load_balance_hosts", "sslcompression", "sslsni", "sslkeylogfile", "hostaddr",
        "replication", "min_protocol_version", "max_protocol_version", "scram_client_key", "scram_server_key",
        "requiressl", "sslidentity", "sslaccept", "single_use_connections", "uselibpqcompat",
    ), _NOT_BY_DRIVER),
}  # fmt: skip
"""Why a parameter is dropped, by its name. The last of them are Prisma's and node-postgres'."""

UNMET = {
    "gssencmode": "require", "sslcertmode": "require", "sslaccept": "strict", "requiressl": "1", "ssl": None,
    "requirepeer": None, "require_auth": None, "sslcrldir": None,
}  # fmt: skip
"""The demands that are refused, since without them a connection is less than was asked for: by a value, or by any."""

_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_DEMANDS = ("disable", "prefer", "require")
WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gsslib": ("gssapi", "sspi"),
    "channel_binding": _DEMANDS,
    "gssencmode": _DEMANDS,
    "load_balance_hosts": ("disable", "random"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslaccept": ("strict", "accept_invalid_certs"),
    "pgbouncer": ("true", "false"),
    **dict.fromkeys(("keepalives", "sslsni", "sslcompression", "gssdelegation", "requiressl"), ("0", "1")),
}
"""The values that a parameter may have."""

NUMBERS = frozenset((
    "connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "connection_limit", "pool_timeout", "socket_timeout", "statement_cache_size",
))  # fmt: skip
"""The parameters that are whole numbers. libpq takes a negative timeout for none."""

SETTINGS = (
    "application_name", "options", "search_path", "timezone", "role", "work_mem", "temp_buffers", "synchronous_commit",
    "default_transaction_read_only", "client_min_messages", "datestyle", "extra_float_digits",
)  # fmt: skip
"""Settings of the server that a URL often has; one of an extension has a dot. Of any other it is said where it goes."""

OURS = ("connect_timeout", "fallback_application_name", "schema", "pgbouncer", "statement_cache_size")
"""What the store honours: two of libpq's, three of Prisma's."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")
_HOSTS = re.compile("[^/?#]*")
_HOST = re.compile(r"(?:\[[^\[\]\s]+\]|[^\[\]:@\s]+)(?::(?P<port>[^:]*))?")
_PORTS = 2**16
_UNREADABLE = "a host, a port or an option in it cannot be read"


@dataclass(frozen=True)
class ServerURL:
    """What a URL says."""

    place: str
    """The server for a person: without user, password and parameters."""
    dsn: str = field(repr=False)
    """The URL as asyncpg reads it on every Python, with what asyncpg honours."""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The server's settings."""
    schema: str | None = None
    """Prisma's `schema`."""
    statement_cache: int | None = None
    """Prisma's `statement_cache_size`; 0 with `pgbouncer=true`."""
    connect_timeout: int | None = None
    """Seconds."""
    system_tls: Mapping[str, str] | None = field(default=None, repr=False)
    """The client's certificate, if it has one, where TLS trusts the system's authorities (`sslrootcert=system`)."""

    def tls(self) -> ssl.SSLContext | None:
        """Return what TLS trusts and shows; None if that is in the DSN. Raises OSError for a certificate's file."""
        if self.system_tls is None:
            return None
        context = ssl.create_default_context()
        if "sslcert" in self.system_tls:
            own = [self.system_tls.get(name) for name in ("sslcert", "sslkey", "sslpassword")]
            context.load_cert_chain(*own)  # type: ignore[arg-type] # the first is there
        return context


def parse(url: str) -> ServerURL:
    """Read a URL, and say of each parameter that is dropped or unknown that it is. Raises OptionsError."""
    scheme, _, rest = url.partition(":")
    if not rest.startswith("//"):
        raise _wrong("its two slashes are missing")
    netloc = _HOSTS.match(rest, 2)[0]  # type: ignore[index] # it matches everything
    userinfo, _, hosts = netloc.rpartition("@")
    parts = urlsplit(f"//{rest[2 + len(netloc) :]}")  # without the hosts: Python 3.14 refuses [::1] in a list of them
    given: dict[str, str] = {}
    specs: list[str] | None = None
    with suppress(ValueError):
        given.update(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        specs = _hosts(hosts, given)
    if specs is None:  # raised here, so that no error of Python's is its context, which would show the password
        raise _wrong(_UNREADABLE)
    if "@" in userinfo + parts.path or parts.fragment:
        raise _wrong("in user and password @ is written %40, # is %23, / is %2F")
    for name, value in given.items():
        _check(name, value)
    driver = {name: given[name] for name in given if name in DRIVER}
    if specs:
        driver["host"] = ",".join(specs)
    system_tls = _system_tls(driver) if driver.get("sslrootcert") == "system" else None
    user, colon, password = userinfo.partition(":")
    login = f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}@" if userinfo else ""
    cache, timeout = given.get("statement_cache_size"), int(given.get("connect_timeout", 0))
    return ServerURL(
        place=f"postgresql://{hosts}{parts.path}",
        dsn=f"{scheme}://{login}{parts.path}?{urlencode(driver)}",
        settings=_settings(given),
        schema=given.get("schema"),
        statement_cache=0 if given.get("pgbouncer") == "true" else None if cache is None else int(cache),
        connect_timeout=timeout if timeout > 0 else None,
        system_tls=system_tls,
    )


def _hosts(listed: str, given: dict[str, str]) -> list[str]:
    """Return the hosts as asyncpg reads them; a parameter counts before what comes in front of the path, as in libpq.

    Raises ValueError for a host or a port that is none, and for ports that are more or fewer than the hosts.
    """
    if "host" in given:
        hosts = [_host(each) for each in given["host"].split(",")]
    elif listed:
        hosts = [_host(unquote(each)) for each in listed.split(",")]
    else:
        hosts = [_host(each) for each in given.pop("hostaddr").split(",")] if "hostaddr" in given else []
    ports = given["port"].split(",") if "port" in given else []
    if not all(map(_is_port, ports)) or (len(ports) > 1 and len(ports) != len(hosts)):
        raise ValueError
    return hosts


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return what goes to the server as its settings, and say what is dropped, and what nobody here knows."""
    settings = {}
    for name, value in given.items():
        known = name.lower()  # a setting's name is the same in capitals
        if known in DRIVER or known in OURS:
            continue
        if known in DROPPED:
            _say(f"store: the URL's {name} is dropped: {DROPPED[known]}")
            continue
        if known not in SETTINGS and "." not in name:
            near = get_close_matches(known, (*DRIVER, *DROPPED, *OURS, *SETTINGS), n=1, cutoff=0.75)
            hint = f"; did you mean {near[0]}?" if near else ""
            _say(f"store: the URL's {name} goes to the server as a setting of it, as nobody here knows it{hint}")
        settings[name] = value
    if "fallback_application_name" in given:
        settings.setdefault("application_name", given["fallback_application_name"])
    return settings


def _check(name: str, value: str) -> None:
    """Raise OptionsError for a parameter that is none, that has a nonsense value, or that cannot be met."""
    if not _NAME.fullmatch(name):
        raise _wrong(_UNREADABLE)
    words = WORDS.get(name)
    if words is not None and value not in words:
        raise OptionsError(f"store: the URL's {name}: expected {' or '.join(words)}")
    if name in NUMBERS and not re.fullmatch("-?[0-9]{1,9}", value, re.ASCII):
        raise OptionsError(f"store: the URL's {name}: expected a whole number")
    if name in UNMET and UNMET[name] in (None, value):
        raise OptionsError(f"store: the URL's {name}: asyncpg cannot do what it demands; sslmode=verify-full it can")


def _system_tls(driver: dict[str, str]) -> dict[str, str]:
    """Take what is about TLS out of the driver's parameters. Raises OptionsError, as libpq does, for a weaker mode."""
    if driver.pop("sslmode", "verify-full") != "verify-full":
        raise OptionsError("store: the URL's sslrootcert=system needs sslmode=verify-full")
    return {name: driver.pop(name) for name in ("sslrootcert", "sslcert", "sslkey", "sslpassword") if name in driver}


def _host(text: str) -> str:
    """Return a host as asyncpg reads it: a folder of sockets, or a name or address with or without its port."""
    if text.startswith("/"):
        return text
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"  # an IPv6 address by itself
    host = _HOST.fullmatch(text)
    if host is None or not (host["port"] is None or _is_port(host["port"])):
        raise ValueError
    return text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:6]) < _PORTS


def _wrong(problem: str) -> OptionsError:
    return OptionsError(f"store: expected a URL such as postgresql://user:password@host:5432/database, but {problem}")


@functools.cache
def _say(words: str) -> None:
    """Log a warning, once: a store is made several times of one URL."""
    log.warning("[session] %s", words)
