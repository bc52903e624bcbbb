"""SealedStore over every store: mixed rows, keys that rotate, rows that cannot be opened, the sessions of a user."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tornado.web import Application, RequestHandler
from users.managing import visit

from sessions import (
    CorruptSession,
    HashedIds,
    MemoryStore,
    OptionsError,
    SealedStore,
    SessionManager,
    SessionMixin,
    StoredSession,
)
from sessions.observe import SessionEvent
from sessions.store import Outcome, admin, prepared, sweepable
from sessions.stores.sqlite import SQLiteStore
from sessions.testing import Browser

from .support import NEW, OLD, OTHER, each_store, manager_of, opened, rows, sealed, session_of

BOTH = {**NEW, **OLD}


class Page(SessionMixin, RequestHandler):
    """Shows the data of the session, and changes it with `?n=`."""

    async def get(self) -> None:
        number = self.get_argument("n", None)
        if number is not None:
            self.session["n"] = number
        self.write(self.session)


def app_of(store: Any, **options: Any) -> Application:
    """An application with one page."""
    return Application([("/", Page)], sessions=manager_of(store, **options))


class TestOrder:
    """HashedIds(SealedStore(store)) is the only order."""

    def test_any_other_order_is_refused(self) -> None:
        """A seal is bound to the key that the store has."""
        inner = MemoryStore()

        for wrong in (
            lambda: SealedStore(HashedIds(inner, NEW), NEW),
            lambda: SealedStore(SealedStore(inner, NEW), OLD),
            lambda: HashedIds(HashedIds(inner, NEW), OLD),
            lambda: HashedIds(HashedIds(SealedStore(inner, NEW), NEW), OLD),
        ):
            with pytest.raises(OptionsError, match=r"^(SealedStore|HashedIds): "):
                wrong()

    def test_options_that_the_store_does_not_keep_are_refused(self) -> None:
        """A manager would believe that the data is sealed."""
        for options in ({"require_sealed": True}, {"hashed_ids": True}):
            with pytest.raises(OptionsError, match=r"^(encryption|hashedIds): needs"):
                manager_of(MemoryStore(), **options)
        manager_of(HashedIds(SealedStore(MemoryStore(), NEW), NEW), require_sealed=True, hashed_ids=True)

    def test_what_sweeps_and_prepares_is_the_store_inside(self, tmp_path: Path) -> None:
        """Through both wrappers."""
        inner = SQLiteStore(tmp_path / "sessions.db")
        store = HashedIds(SealedStore(inner, NEW), NEW)

        assert (sweepable(store), prepared(store)) == (inner, inner)
        assert admin(store) is store


@each_store
async def test_nothing_of_a_session_is_in_the_store(kind: str, tmp_path: Path) -> None:
    """Neither its data nor its user; the cookie is."""
    async with opened(kind, tmp_path) as inner:
        store = sealed(inner, NEW)
        await store.create("a", session_of("ada", cart=["a-thing-to-buy"]))
        (text,) = (await rows(store)).values()

        assert "ada" not in text
        assert "a-thing-to-buy" not in text
        assert json.loads(text)["cookie"]["path"] == "/"


@each_store
async def test_rows_in_the_clear_are_read_and_sealed_when_they_are_written(kind: str, tmp_path: Path) -> None:
    """A touch leaves them in the clear."""
    async with opened(kind, tmp_path) as inner:
        made = session_of("ada", n=1)
        await inner.create("a", made)
        store = sealed(inner, NEW)
        found = await store.get("a")
        assert found is not None
        touched = await store.touch("a", found.expires_at + 1_000, found)
        before = (await rows(store))["a"]
        assert touched.record is not None
        saved = await store.update("a", session_of("ada", n=2), touched.record)

        assert json.loads(found.data) == json.loads(made.data)
        assert "__sealed" not in before
        assert saved.outcome is Outcome.SAVED
        assert "__sealed" in (await rows(store))["a"]


@each_store
async def test_the_first_key_seals_and_all_open(kind: str, tmp_path: Path) -> None:
    """A row follows when it is written next."""
    async with opened(kind, tmp_path) as inner:
        await sealed(inner, OLD).create("a", session_of("ada", n=1))
        store = sealed(inner, BOTH)
        found = await store.get("a")
        assert found is not None
        await store.update("a", session_of("ada", n=2), found)

        assert '"__sealed":"1.new.' in (await rows(store))["a"].replace(" ", "")
        assert await sealed(inner, NEW).get("a") is not None
        with pytest.raises(CorruptSession):
            await sealed(inner, OLD).get("a")


@each_store
async def test_all_sessions_of_a_user_end_whatever_sealed_them(kind: str, tmp_path: Path) -> None:
    """Rows in the clear, under two keys, and one that a Node server signed in beside the seal; no other user's."""
    async with opened(kind, tmp_path) as inner:
        await inner.create("clear", session_of("ada"))
        await sealed(inner, OLD).create("old", session_of("ada"))
        store = sealed(inner, BOTH)
        await store.create("new", session_of("ada"))
        await store.create("kept", session_of("ada"))
        await store.create("bob", session_of("bob"))
        if not kind.startswith(("redis", "mongodb")):  # they find a user by the `__meta` of the writer
            await store.create("node", session_of("bob", n=1))
            text = (await rows(store))["node"]
            await inner.set("node", StoredSession(f'{text[:-1]},"user":"ada"}}', session_of().expires_at))
        manager = manager_of(store)
        listed = [info.user for info in await manager.sessions_of("ada")]
        keep = await visit(manager, "kept")
        ended = await manager.revoke_all("ada", keep=keep)
        await manager.close()

        assert set(listed) == {"ada"}
        assert ended == len(listed) - 1
        assert (await rows(store)).keys() == {"kept", "bob"}


@each_store
async def test_no_session_that_is_sealed_meanwhile_escapes_its_revocation(kind: str, tmp_path: Path) -> None:
    """Each of 20 rows moves from the clear to the old key and to the new one while all of the user's end."""
    async with opened(kind, tmp_path) as inner:
        stores = [sealed(inner, OLD), sealed(inner, BOTH)]
        for n in range(20):
            await inner.create(f"{n}", session_of("ada"))

        async def use(sid: str) -> None:
            for n in range(1_000):
                store = stores[n % 2]
                try:
                    found = await store.get(sid)
                except CorruptSession:  # by the new key, which the first of them does not have
                    continue
                if found is None or (await store.update(sid, session_of("ada", n=n), found)).record is None:
                    return

        using = [asyncio.create_task(use(f"{n}")) for n in range(20)]
        manager = manager_of(stores[1])
        await asyncio.sleep(0)
        await manager.revoke_all("ada")
        await asyncio.gather(*using)
        await manager.close()

        assert await rows(inner) == {}


@each_store
async def test_max_per_user_counts_rows_of_every_key(kind: str, tmp_path: Path) -> None:
    """The oldest sign-in ends, whatever sealed it."""
    async with opened(kind, tmp_path) as inner:
        first = manager_of(sealed(inner, OLD))
        await Browser(Application([], sessions=first)).sign_in("ada")
        manager = manager_of(sealed(inner, BOTH), max_per_user=2)
        browser = Browser(Application([], sessions=manager))
        for _ in range(2):
            await browser.sign_in("ada")
        left = await rows(inner)
        await first.close()
        await manager.close()

        assert len(left) == 2
        assert all('"__sealed":"1.new.' in text.replace(" ", "") for text in left.values())


class TestRefused:
    """A row that cannot be opened is a 500 for its visitor; it stays as it is, and no session is made in its place."""

    async def answer(
        self, caplog: pytest.LogCaptureFixture, changes: Any, event: str = "session_corrupt", **options: Any
    ) -> None:
        """Make a session, do something to its row, and see that it is refused."""
        inner = MemoryStore()
        store = sealed(inner, OLD)
        async with Browser(app_of(store)) as browser:
            await browser.fetch("/?n=1")
            ((sid, text),) = (await rows(inner)).items()
            keys = changes(inner, sid, text) or OLD
            before = await rows(inner)
            caplog.clear()
            caplog.set_level(logging.INFO)
            async with Browser(app_of(sealed(inner, keys, **options))) as other:
                other.jar = browser.jar
                cookie = browser.jar.all()
                answers = [await other.fetch("/"), await other.fetch("/?n=2")]

        assert [response.code for response in answers] == [500, 500]
        assert [response.headers.get_list("Set-Cookie") for response in answers] == [[], []]
        assert await rows(inner) == before
        assert browser.jar.all() == cookie
        events = [record.getMessage() for record in caplog.records if record.getMessage().startswith(event)]
        assert len(events) == 2
        assert sid not in caplog.text

    async def test_a_missing_key_is_a_500_and_no_empty_session(self, caplog: pytest.LogCaptureFixture) -> None:
        """With an event each time."""
        await self.answer(caplog, lambda *_: NEW)

    async def test_a_wrong_key_is_a_500_and_no_empty_session(self, caplog: pytest.LogCaptureFixture) -> None:
        """Other bytes under the id of the key."""
        await self.answer(caplog, lambda *_: OTHER)

    async def test_a_row_under_another_id_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        """A writer of the table cannot give a session to another visitor."""

        def paste(inner: Any, sid: str, text: str) -> None:
            other = SealedStore(MemoryStore(), OLD).encode("another", session_of("admin"))
            inner._rows[sid] = inner._rows[sid]._replace(data=other.data)

        await self.answer(caplog, paste)

    async def test_a_row_that_was_changed_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        """By one character."""

        def change(inner: Any, sid: str, text: str) -> None:
            begin = text.index('"1.old.') + 20
            changed = text[:begin] + ("A" if text[begin] != "A" else "B") + text[begin + 1 :]
            inner._rows[sid] = inner._rows[sid]._replace(data=changed)

        await self.answer(caplog, change)

    async def test_a_row_that_was_cut_off_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        """In the seal."""

        def cut(inner: Any, sid: str, text: str) -> None:
            inner._rows[sid] = inner._rows[sid]._replace(data=text[:-10] + '"}')

        await self.answer(caplog, cut)

    async def test_a_row_in_the_clear_is_refused_if_all_are_to_be_sealed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Or whoever can write the table would sign in as anybody."""

        def forge(inner: Any, sid: str, text: str) -> None:
            inner._rows[sid] = inner._rows[sid]._replace(data=session_of("admin").data)

        await self.answer(caplog, forge, "session_refused", require_sealed=True)

    async def test_a_member_beside_the_seal_is_refused_if_all_is_to_be_sealed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """For the same reason."""

        def add(inner: Any, sid: str, text: str) -> None:
            inner._rows[sid] = inner._rows[sid]._replace(data=text[:-1] + ',"user":"admin"}')

        await self.answer(caplog, add, "session_refused", require_sealed=True)

    async def test_a_sealed_row_is_a_500_where_there_are_no_keys(self) -> None:
        """It is no session without data."""
        inner = MemoryStore()
        async with Browser(app_of(sealed(inner, OLD))) as browser:
            await browser.fetch("/?n=1")
            before = await rows(inner)
            async with Browser(app_of(inner)) as other:
                other.jar = browser.jar
                answers = [await other.fetch("/"), await other.fetch("/?n=2")]

        assert [response.code for response in answers] == [500, 500]
        assert await rows(inner) == before

    async def test_others_are_listed_beside_a_row_that_cannot_be_opened(self, caplog: pytest.LogCaptureFixture) -> None:
        """The log says which cannot; it ends with its user's sessions."""
        inner = MemoryStore()
        await sealed(inner, OTHER).create("lost", session_of("ada"))
        lost = (await rows(inner))["lost"]
        store = sealed(inner, OLD)
        await store.create("a", session_of("ada"))
        inner._rows["lost"] = inner._rows["lost"]._replace(
            data=lost.replace(
                json.loads(lost)["__meta"]["user"], json.loads((await rows(inner))["a"])["__meta"]["user"]
            )
        )
        inner._index = None
        manager = manager_of(store)
        caplog.set_level(logging.INFO)
        listed = [key async for key, _ in store.all()]

        assert listed == ["a"]
        assert len(await manager.sessions_of("ada")) == 1
        assert "session_corrupt" in caplog.text
        assert await manager.revoke_all("ada") == 2

    @pytest.mark.parametrize("hashes", [False, True], ids=["sealed", "hashed"])
    async def test_observers_hear_of_what_cannot_be_opened(self, hashes: bool) -> None:
        """Behind hashed ids too, so that a wrong key is a number on a dashboard and not only a line."""
        inner, seen = MemoryStore(), list[object]()
        behind = sealed(inner, OTHER), sealed(inner, OLD)
        before, now = (HashedIds(store, OLD) if hashes else store for store in behind)
        await before.create("lost", session_of("ada"))
        manager = SessionManager(now, manager_of(now).options, observer=seen.append)

        with pytest.raises(CorruptSession):
            async with manager.open("lost"):
                pass

        events = [event for event in seen if isinstance(event, SessionEvent)]
        assert [(event.name, event.user) for event in events] == [("session_corrupt", None)]

    async def test_a_key_of_its_own_is_refused_to_handlers(self) -> None:
        """`__sealed` is a reserved name, so that no session without a seal looks like one with it."""
        async with Browser(Application([("/", Reserved)], sessions=manager_of(MemoryStore()))) as browser:
            assert (await browser.fetch("/")).code == 500


class Reserved(SessionMixin, RequestHandler):
    """Sets the member of the seal."""

    def get(self) -> None:
        self.session["__sealed"] = "1.a.b"


async def test_members_that_node_adds_are_sealed_at_the_next_save() -> None:
    """They are the visitor's data meanwhile."""
    inner = MemoryStore()
    async with Browser(app_of(sealed(inner, OLD))) as browser:
        await browser.fetch("/?n=1")
        ((sid, row),) = inner._rows.items()
        inner._rows[sid] = row._replace(data=row.data[:-1] + ',"added":"by Node"}')
        seen = json.loads((await browser.fetch("/")).body)
        before = (await rows(inner))[sid]
        await browser.fetch("/?n=2")
        after = (await rows(inner))[sid]

    assert seen == {"n": "1", "added": "by Node"}
    assert "by Node" in before
    assert "by Node" not in after
    assert json.loads((await sealed(inner, OLD).get(sid)).data)["added"] == "by Node"  # type: ignore[union-attr] # it is there


async def test_max_bytes_counts_what_is_sealed() -> None:
    """Before it is sealed: 1,000 bytes are 1,000 bytes."""
    inner = MemoryStore()
    async with Browser(app_of(sealed(inner, OLD), max_bytes=1_000)) as browser:
        answers = [(await browser.fetch(f"/?n={'x' * size}")).code for size in (800, 1_000)]

    ((_, text),) = (await rows(inner)).items()
    assert answers == [200, 500]
    assert len(text) > 1_000
