"""Connections to MongoDB: how the server is trusted, who logs in, how long is waited, and what no message ever shows."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import MINUTE

from sessions import OptionsError, now_ms, open_store
from sessions.errors import StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.mongodb import MongoStore

from .certificates import Authority
from .mongo_opening import HUSH, LEAVES_SOCKETS, SECONDS, record, refusal, works
from .mongo_server import HOST, MongoServer
from .support import outcome, until

pytestmark = LEAVES_SOCKETS


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
            asked = await refusal(f"mongodb://{plain.address}/?tls=true&tlsCAFile={authority.file}")
            unasked = await refusal(f"mongodb://{server.address}/")

        assert asked.startswith(f"mongodb at {plain.address}/test.sessions: No servers found yet: nobody has answered")
        assert asked.endswith("does the server speak TLS if the URL does, and only then?")
        assert unasked.startswith(f"mongodb at {server.address}/test.sessions: ")

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
