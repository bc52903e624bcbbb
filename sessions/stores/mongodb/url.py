"""Owns the URLs of MongoDB: what one has to say, what it may not say, and what messages show of it. It opens nothing.

    mongodb://user:password@host:port,host:port/database?options      mongodb+srv://user:password@host/database?options

The options are pymongo's, which are MongoDB's. A URL without a database means `test`, as in Node's driver. No
OptionsError shows a user, a password, a host or an option's value.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_userinfo, split_hosts, split_options

from ...errors import OptionsError

_EXPECTED = {
    "mongodb": "mongodb://[user:password@]host[:port][,host[:port]…][/database][?options]",
    "mongodb+srv": "mongodb+srv://[user:password@]host[/database][?options]",
}
_DATABASE = "test"
"""Of a URL that names none, as Node's driver has it."""

_NO_NAME = frozenset('/\\. "$*<>:|?\0')
"""Characters that no database's name has (MongoDB's limits, "Restrictions on Database Names")."""


@dataclass(frozen=True)
class Target:
    """What a URL names."""

    url: str = field(repr=False)
    hosts: tuple[str, ...]
    """Each with its port. Of mongodb+srv:// the name that the DNS is asked for."""
    database: str
    said: Mapping[str, Any] = field(repr=False)
    """The options, by their names in lower case."""

    @property
    def write_concern(self) -> Any:
        """How many servers have a write when it is answered: a number, or a text."""
        return self.said.get("w", "majority")

    @property
    def is_encrypted(self) -> bool:
        """True if TLS is demanded; mongodb+srv:// demands it."""
        return bool(self.said.get("tls", self.said.get("ssl", self.url.startswith("mongodb+srv:"))))

    @property
    def place(self) -> str:
        """What an error names: neither user nor password is in it."""
        return f"mongodb at {', '.join(self.hosts)}/{self.database}"

    def client(self, milliseconds: float) -> Any:
        """Return a client, not connected, which ends its calls after so many milliseconds. Raises OptionsError."""
        options = {"timeoutMS": milliseconds, "w": self.write_concern}
        if "connecttimeoutms" not in self.said:
            options["connectTimeoutMS"] = milliseconds  # by which a server that hangs is noticed too
        with _refusing():
            return AsyncMongoClient(self.url, connect=False, **options)


def parse(url: str) -> Target:
    """Read a URL. Raises OptionsError."""
    scheme, _, rest = url.partition("://")
    expected = _EXPECTED.get(scheme)
    if expected is None:
        raise OptionsError(f"store: expected {_EXPECTED['mongodb']}")
    place, _, query = rest.partition("?")
    place, _, database = place.partition("/")
    if {"@", "#"} & set(database + query):
        raise OptionsError(f"store: expected {expected}; in a user and a password, @ : / ? # % are percent-encoded")
    userinfo, at, hosts = place.rpartition("@")
    with _refusing(f"expected {expected}"):
        if at:
            parse_userinfo(userinfo)
        addresses = split_hosts(hosts, default_port=None if scheme == "mongodb+srv" else 27017)
    database = unquote_plus(database) or _DATABASE
    if len(database.encode("utf-8", "replace")) > 63 or _NO_NAME & set(database):  # noqa: PLR2004 # MongoDB's limit
        raise OptionsError(f"store: expected {expected}; the database is a name of 1 to 63 bytes without /, . and $")
    options = _options(query)
    target = Target(
        url=url,
        hosts=tuple(_shown(*address) for address in addresses),
        database=database,
        said=options,
    )
    target.client(1_000)  # looks at the options together, and at the files that they name
    return target


def _options(query: str) -> dict[str, Any]:
    """Return the options of a URL by their names in lower case, each as pymongo takes it."""
    options: dict[str, Any] = {}
    for pair in query.replace(";", "&").split("&") if query else []:
        name = pair.partition("=")[0]
        with _refusing(f"{name}: is no option of MongoDB, or has a wrong value, or names a file that cannot be read"):
            options.update((key.lower(), value) for key, value in split_options(pair, normalize=False).items())
    if options.get("w") == 0:
        raise OptionsError("store: w: 0 is refused, since a write that nobody confirms may be lost; omit it")
    mode = options.get("readpreference", "primary")
    if mode not in (0, "primary"):
        raise OptionsError("store: readPreference: expected primary, since a session is read right after a write")
    if "timeoutms" in options:
        raise OptionsError("store: timeoutMS: say it as `timeout` in [mongodb]")
    return options


@contextmanager
def _refusing(problem: str = "") -> Iterator[None]:
    """Raise what pymongo says of a URL as OptionsError: `problem`, or else pymongo's words, which show no value."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # what pymongo would pass over
        try:
            yield
        except (PyMongoError, UserWarning, ValueError, TypeError, OSError) as error:
            raise OptionsError(f"store: {problem or error}") from None


def _shown(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
