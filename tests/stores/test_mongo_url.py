"""URLs of MongoDB: where they lead, by name, by DNS and in a replica set, and what no message ever shows."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rdatatype
import dns.rrset
import pytest

from sessions import OptionsError, open_store
from sessions.errors import StoreError
from sessions.stores.mongodb import MongoStore

from .certificates import Authority
from .mongo_opening import HUSH, SECONDS, record, refusal, works
from .mongo_server import HOST, MongoServer

CLUSTER = "cluster.0.0.1"
"""A name for the DNS. What it has as servers must be below the same domain, and `127.0.0.1` is, which needs no DNS itself."""


class TestReplicaSet:
    """A server that calls itself the primary of `rs0`."""

    @pytest.fixture
    def server(self) -> Iterator[MongoServer]:
        with MongoServer(replica_set="rs0") as server:
            yield server

    async def test_it_is_found_by_one_of_several_hosts(self, server: MongoServer, unused: int) -> None:
        """Though the first of them is down."""
        await works(f"mongodb://{HOST}:{unused},{server.address}/?replicaSet=rs0")

    async def test_another_set_is_refused(self, server: MongoServer) -> None:
        """It would be another database."""
        said = await refusal(f"mongodb://{server.address}/?replicaSet=rs1")

        assert server.address in said

    async def test_the_options_of_a_set_are_taken(self, server: MongoServer) -> None:
        """Those that pymongo has."""
        await works(
            f"mongodb://{server.address}/app?replicaSet=rs0&w=majority&journal=true&wtimeoutMS=2000&retryWrites=true"
            "&readPreference=primary&maxPoolSize=5&appName=sessions&directConnection=false&readConcernLevel=majority"
        )


class Names(asyncio.DatagramProtocol):
    """A DNS server that knows the records that it was given, by name and type."""

    def __init__(self, records: dict[tuple[str, str], str]) -> None:
        self._records = records
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{kind} {name}")
        if (name, kind) in self._records:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, self._records[name, kind]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def names(monkeypatch: pytest.MonkeyPatch, **records: str) -> AsyncIterator[Names]:
    """Answer for CLUSTER while the block runs: `SRV` is its server, `TXT` are its options."""
    known = {(f"_mongodb._tcp.{CLUSTER}" if kind == "SRV" else CLUSTER, kind): text for kind, text in records.items()}
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Names(known), (HOST, 0))
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [HOST], transport.get_extra_info("sockname")[1]
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    try:
        yield server
    finally:
        transport.close()


class TestSRV:
    """mongodb+srv://, by a DNS server of the test's own."""

    async def test_the_dns_says_where_the_server_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And of which replica set; TLS is demanded without a word."""
        authority = Authority(tmp_path)
        login: dict[str, Any] = {"user": "me", "password": HUSH, "replica_set": "rs0"}
        with MongoServer(certificate=authority.issue(HOST), authority=authority.file, **login) as server:
            options = '"authSource=admin&replicaSet=rs0"'
            async with names(monkeypatch, SRV=f"0 0 {server.port} {HOST}.", TXT=options) as dns_server:
                store = MongoStore(f"mongodb+srv://me:{HUSH}@{CLUSTER}/app?tlsCAFile={authority.file}")
                async with store:
                    await store.create("a", record())
                asked = list(dns_server.asked)
            found = server.admin.app.sessions.find_one()

        assert (found or {})["_id"] == "a"
        assert set(asked) == {f"SRV _mongodb._tcp.{CLUSTER}", f"TXT {CLUSTER}"}
        assert store.name == f"mongodb at {CLUSTER}/app.sessions"

    async def test_without_tls_if_the_url_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And without a TXT record."""
        with MongoServer() as server:
            async with names(monkeypatch, SRV=f"0 0 {server.port} {HOST}."):
                await works(f"mongodb+srv://{CLUSTER}/?tls=false")

    @pytest.mark.parametrize(
        "records",
        [{}, {"SRV": "0 0 1 else.example.com."}, {"SRV": f"0 0 1 {HOST}.", "TXT": '"maxPoolSize=1"'}],
        ids=["no such name", "a server of another domain", "an option that DNS may not set"],
    )
    async def test_what_the_dns_may_not_say(self, monkeypatch: pytest.MonkeyPatch, records: dict[str, str]) -> None:
        """The store is not opened, and the error names the place."""
        async with names(monkeypatch, **records):
            with pytest.raises(StoreError, match=rf"^mongodb at {CLUSTER}/app\.sessions: ") as caught:
                await MongoStore(f"mongodb+srv://me:{HUSH}@{CLUSTER}/app", timeout=2_000).__aenter__()

        assert HUSH not in f"{caught.value} {caught.value.__cause__!r}"

    async def test_a_dns_that_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The store gives up in its time."""
        with socket.socket(type=socket.SOCK_DGRAM) as silent:
            silent.bind((HOST, 0))
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers, resolver.port = [HOST], silent.getsockname()[1]
            monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
            begin = time.monotonic()
            await refusal(f"mongodb+srv://me:{HUSH}@{CLUSTER}/", timeout=1_000)

        assert time.monotonic() - begin < SECONDS

    @pytest.mark.parametrize("host", [f"{CLUSTER}:27017", f"{CLUSTER},b.0.0.1", ""])
    def test_it_takes_one_name_and_no_port(self, host: str) -> None:
        """The DNS has the rest."""
        with pytest.raises(OptionsError, match=r"^store: .*mongodb\+srv://") as caught:
            open_store(f"mongodb+srv://me:{HUSH}@{host}/")

        assert HUSH not in str(caught.value)


REFUSED = {
    f"appName=a#{HUSH}": "expected",
    "w=0": "w: 0 is refused",
    "w=0&journal=false": "w: 0 is refused",
    "readPreference=secondary": "readPreference",
    "timeoutMS=5": "timeoutMS",
    "retrywrits=true": "retrywrits",
    "maxPoolSize=many": "maxPoolSize",
    "tls=maybe": "tls",
    "authMechanism=MAGIC": "authMechanism",
    f"x={HUSH}": "x",
    f"ssl=true&tls=false&password={HUSH}": "password",
    "directConnection=true&loadBalanced=true": "loadBalanced",
}
"""Options that are refused when the store is made, and what is said of them."""


@pytest.mark.parametrize("query", REFUSED)
def test_an_option_that_is_wrong_is_named_without_its_value(query: str) -> None:
    """Also one that pymongo would pass over with a warning."""
    with pytest.raises(OptionsError, match=rf"^store: .*{REFUSED[query]}") as caught:
        open_store(f"mongodb://me:{HUSH}@{HOST}/app?{query}")

    assert HUSH not in f"{caught.value} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb:me:{HUSH}@h", f"mongodb:///{HUSH}", f"mongodb://me:{HUSH}", f"mongodb://me:{HUSH}@", f"mongodb://me:{HUSH}@/app",
        f"mongodb://me:{HUSH}@h:x/", f"mongodb://me:{HUSH}@h:0/", f"mongodb://me:{HUSH}@h:70000/", f"mongodb://me:{HUSH}@h,/",
        f"mongodb://me:{HUSH}@x@h/", f"mongodb://me:{HUSH}/x@h/", f"mongodb://me:a:{HUSH}@h/", f"mongodb://me:{HUSH}%@h/",
        f"mongodb://:{HUSH}@h/", f"mongodb://me:{HUSH}@[::1/", f"mongodb://me:{HUSH}@h/a.b", f"mongodb://me:{HUSH}@h/a/b",
        f"mongodb://me:{HUSH}@h/{'x' * 64}", f"mongodb://me:{HUSH}@h/a b", f"mongodb://me:{HUSH}@h/app?x", f"mongodb://me:{HUSH}@h/#x",
        f"mongodb://me:{HUSH}@h/app?=1", f"mongodb://me:{HUSH}?x@h/app", f"mongodb+srv://me:{HUSH}@h:1.b/",
    ],
)  # fmt: skip
def test_a_url_that_is_wrong_is_not_shown(url: str) -> None:
    """Wherever in it the password is."""
    with pytest.raises(OptionsError, match=r"^store: ") as caught:
        open_store(url)

    assert HUSH not in f"{caught.value} {caught.value!r} {caught.value.__context__!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mongodb://h", "mongodb at h:27017/test.sessions"),
        (f"mongodb://me:{HUSH}@h:1,[::1]:2,[::1]/app", "mongodb at h:1, [::1]:2, [::1]:27017/app.sessions"),
        (f"mongodb://me:{HUSH}@h/my%20db?replicaSet=rs0", None),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/app", "mongodb at /tmp/mongodb-27017.sock/app.sessions"),
        (f"mongodb+srv://me:{HUSH}@a.example.com/app", "mongodb at a.example.com/app.sessions"),
    ],
)
def test_a_place_is_named_without_user_and_password(url: str, name: str | None) -> None:
    """In errors, in logs and in `repr`."""
    if name is None:
        with pytest.raises(OptionsError, match="the database"):
            open_store(url)
        return
    store = open_store(url)

    assert isinstance(store, MongoStore)
    assert store.name == name
    assert HUSH not in repr(store) + repr(vars(store))
