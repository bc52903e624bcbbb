"""URLs of MongoDB: where they lead, how the server is trusted, who logs in, and what no message ever shows."""

import asyncio
import gc
import logging
import socket
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from clock import MINUTE

from sessions import OptionsError, now_ms, open_store
from sessions.errors import StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.mongodb import MongoStore

from .certificates import Authority
from .mongo_server import HOST, MongoServer
from .support import outcome, until

HUSH = "hush-and-more"
SECONDS = 20.0
"""Within which a busy machine gives up what it was to give up after a second."""

CLUSTER = "cluster.0.0.1"
"""A name for the DNS. What it has as servers must be below the same domain, and `127.0.0.1` is, which needs no DNS itself."""


def record() -> StoredSession:
    """A session that lives."""
    return StoredSession('{"n":1}', now_ms() + MINUTE)


async def works(url: str, **options: Any) -> None:
    """Write and read a session. Raises StoreError."""
    async with MongoStore(url, **options) as store:
        written = record()
        assert await store.create("a", written) == written
        assert await store.get("a") == written
        await store.destroy("a")


async def refusal(url: str, **options: Any) -> str:
    """What a store says that cannot be opened, without a password."""
    with pytest.raises(StoreUnavailable) as caught:
        await MongoStore(url, **{"timeout": 2_000, **options}).__aenter__()
    said = str(caught.value)
    assert HUSH not in f"{said} {caught.value!r} {caught.value.__cause__!r}"
    del caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pymongo leaves the socket of a handshake that it gives up
        gc.collect()
    assert said.startswith("mongodb at ")
    return said


class TestTLS:
    """A server that speaks TLS only, with a certificate of an authority of the test's own."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.fixture
    def server(self, authority: Authority) -> Iterator[MongoServer]:
        with MongoServer(certificate=authority.issue(HOST), authority=authority.file) as server:
            yield server

    async def test_its_authority_is_trusted(self, server: MongoServer) -> None:
        """`tlsCAFile` is the authority's certificate."""
        await works(server.url)

    async def test_a_stranger_is_not(self, server: MongoServer, tmp_path: Path) -> None:
        """Neither with the system's authorities, nor with another one of the same name."""
        (tmp_path / "other").mkdir()
        other = Authority(tmp_path / "other").file

        for more in ("", f"&tlsCAFile={other}"):
            said = await refusal(f"mongodb://me:{HUSH}@{server.address}/?tls=true{more}")

            assert "CERTIFICATE_VERIFY_FAILED" in said

    async def test_the_certificate_of_another_host_is_refused(self, authority: Authority) -> None:
        """Unless the URL says that the name is not to be looked at."""
        with MongoServer(certificate=authority.issue("127.0.0.2"), authority=authority.file) as server:
            said = await refusal(server.url)
            await works(server.url_of(tlsAllowInvalidHostnames="true"))

        assert "certificate is not valid for" in said

    async def test_a_server_without_tls_is_not_asked_in_the_clear(self, authority: Authority) -> None:
        """And one with TLS is not found without."""
        with MongoServer(certificate=authority.issue(HOST)) as server, MongoServer() as plain:
            for url in (
                f"mongodb://{plain.address}/?tls=true&tlsCAFile={authority.file}",
                f"mongodb://{server.address}/",
            ):
                assert "test.sessions" in await refusal(url)

    @pytest.mark.parametrize(
        "query", ["tls=true&tlsCAFile=/nowhere.pem", "tls=true&tlsCertificateKeyFile=/nowhere.pem"]
    )
    def test_a_file_that_is_not_there_is_said_at_once(self, query: str) -> None:
        """When the store is made."""
        with pytest.raises(OptionsError, match=r"^store: tls(CA|CertificateKey)File: .*cannot be read") as caught:
            open_store(f"mongodb://me:{HUSH}@{HOST}/?{query}")

        assert HUSH not in str(caught.value)


class TestLogin:
    """A server that asks for a user and a password."""

    @pytest.fixture
    def server(self) -> Iterator[MongoServer]:
        with MongoServer(user="me@home", password=f"{HUSH}:/?#[]@%é") as server:
            yield server

    async def test_a_user_logs_in(self, server: MongoServer) -> None:
        """With any character in the password."""
        await works(server.url)

    async def test_a_wrong_password_is_said_without_it(self, server: MongoServer) -> None:
        """In the error, in its causes and in its repr."""
        said = await refusal(f"mongodb://me%40home:{HUSH}@{server.address}/?authSource=admin")

        assert "AuthenticationFailed" in said

    async def test_nobody_is_refused(self, server: MongoServer) -> None:
        """And the error says what is missing."""
        with pytest.raises(StoreError, match="Unauthorized"):
            await MongoStore(f"mongodb://{server.address}/").__aenter__()

    async def test_a_password_that_was_changed(self, server: MongoServer) -> None:
        """The store is unavailable until its own is right again."""
        async with MongoStore(server.url, timeout=2_000) as store:
            right, server.password = server.password, "another"
            server.kill()
            server.start()
            with pytest.raises(StoreUnavailable):
                await store.get("a")
            server.kill()
            server.password = right
            server.start()

            async with asyncio.timeout(SECONDS):
                while True:
                    try:
                        found = await store.get("a")
                    except StoreUnavailable:
                        await asyncio.sleep(0.05)
                    else:
                        break
        assert found is None

    async def test_neither_password_nor_session_is_logged(
        self, server: MongoServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not even where everything else of pymongo is."""
        caplog.set_level(logging.DEBUG)
        for url in (server.url, f"mongodb://me%40home:{HUSH}@{server.address}/"):
            store = MongoStore(url, timeout=2_000)
            try:
                async with store:
                    await store.create("an-id-of-somebody", StoredSession('{"n":"of somebody"}', now_ms() + MINUTE))
            except StoreUnavailable:
                pass
            assert HUSH not in repr(store)

        assert "pymongo" in {each.name.partition(".")[0] for each in caplog.records}
        for each in caplog.records:
            said = f"{each.getMessage()} {each.exc_text}"
            assert HUSH not in said
            assert "of somebody" not in said
            assert "of-somebody" not in said


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


@pytest.fixture
def unused() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield taken.getsockname()[1]


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


class TestDeadlines:
    """What does not answer costs a visitor the store's timeout, and the next ones nothing."""

    async def test_a_port_that_is_silent(self) -> None:
        """Connections are taken by the kernel, and nobody reads them."""
        with socket.create_server((HOST, 0)) as silent:
            begin = time.monotonic()
            await refusal(f"mongodb://me:{HUSH}@{HOST}:{silent.getsockname()[1]}/", timeout=1_000)

        assert time.monotonic() - begin < SECONDS

    async def test_a_port_on_which_nobody_listens(self, unused: int) -> None:
        """Named by host, port, database and collection."""
        said = await refusal(f"mongodb://me:{HUSH}@{HOST}:{unused}/app", timeout=500, collection="web")

        assert said.startswith(f"mongodb at {HOST}:{unused}/app.web: ")

    async def test_a_server_that_is_gone_is_looked_for_briefly(self) -> None:
        """Once a call has waited in vain, those that try it again after a while do not wait as long."""
        with MongoServer() as server:
            async with MongoStore(server.url, timeout=1_000) as store:
                server.kill()
                while store.ready:
                    await outcome(store.get("a"))
                store._connection._limit = 10 * SECONDS  # type: ignore[union-attr] # it is open
                begin = time.monotonic()
                await until(lambda: store.ready, SECONDS)

                assert await outcome(store.get("a")) is StoreError
                assert time.monotonic() - begin < SECONDS

    async def test_a_server_that_is_slow_has_its_time(self) -> None:
        """Also when a call was given up before."""
        with MongoServer() as server:
            async with MongoStore(server.url, timeout=1_000) as store:
                server.pause()
                while store.ready:
                    await outcome(store.get("a"))
                server.go_on()
                store._connection._limit = 10 * SECONDS  # type: ignore[union-attr] # it is open
                server.fail("find", blockConnection=True, blockTimeMS=1_000)
                await until(lambda: store.ready, SECONDS)

                assert await outcome(store.get("a")) is None

    async def test_a_server_that_stops_and_goes_on(self) -> None:
        """SIGSTOP: each call ends in its time, and the store is there again by itself."""
        with MongoServer() as server:
            async with MongoStore(server.url, timeout=1_000) as store:
                await store.create("a", record())
                server.pause()
                begin = time.monotonic()
                failed = await asyncio.gather(*(store.get("a") for _ in range(20)), return_exceptions=True)
                took = time.monotonic() - begin
                server.go_on()

                async with asyncio.timeout(SECONDS):
                    while True:
                        try:
                            found = await store.get("a")
                        except StoreUnavailable:
                            await asyncio.sleep(0.05)
                        else:
                            break

        assert {type(each) for each in failed} == {StoreUnavailable}
        assert took < SECONDS
        assert found is not None
        assert found.data == '{"n":1}'


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
