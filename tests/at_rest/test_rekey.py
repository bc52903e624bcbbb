"""`rekey`: every row is sealed with the first key, beside the visitors; interrupted, it goes on where it was."""

import asyncio
import json
from pathlib import Path

import pytest
from cli.support import KINDS, Place
from users.managing import visit

from sessions import HashedIds, MemoryStore, OptionsError, SealedStore, StoredSession
from sessions.at_rest import rekey as module
from sessions.at_rest.rekey import rekey
from sessions.stores.sqlite import SQLiteStore

from .support import NEW, OLD, OTHER, each_store, manager_of, opened, rows, sealed, session_of

BOTH = {**NEW, **OLD}


def unsealed(found: dict[str, str]) -> set[str]:
    """The keys of rows that are not sealed with the new key."""
    return {key for key, text in found.items() if not json.loads(text).get("__sealed", "").startswith("1.new.")}


@each_store
async def test_every_row_is_sealed_with_the_first_key(kind: str, tmp_path: Path) -> None:
    """Rows in the clear, under the older key, and with members that Node added; again there is nothing to do."""
    async with opened(kind, tmp_path) as inner:
        for n in range(100):
            await inner.create(f"clear {n}", session_of("ada", n=n))
            await sealed(inner, OLD).create(f"old {n}", session_of("ada", n=n))
        store = sealed(inner, BOTH)
        await store.create("new", session_of("ada"))
        await store.create("node", session_of("ada"))
        text = (await rows(inner))["node"]
        await inner.set("node", StoredSession(f'{text[:-1]},"n":1}}', session_of().expires_at))
        steps: list[int] = []
        done = await rekey(store, steps.append)
        again = await rekey(store)
        manager = manager_of(sealed(inner, NEW))
        listed = await manager.sessions_of("ada")
        await manager.close()

        assert done == (202, 201, 0, [])
        assert again == (202, 0, 0, [])
        assert sum(steps) == 202
        assert unsealed(await rows(inner)) == set()
        assert len(listed) == 202


async def test_what_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done already is read and not written again."""
    monkeypatch.setattr(module, "PAUSE", 0)
    async with SQLiteStore(tmp_path / "sessions.db") as inner:
        old = sealed(inner, OLD)
        await asyncio.gather(*(old.create(f"{n}", session_of("ada", n=n)) for n in range(1_000)))
        store = sealed(inner, BOTH)
        halfway = asyncio.Event()
        first = asyncio.create_task(rekey(store, lambda _rows: halfway.set()))
        await halfway.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        left = len(unsealed(await rows(inner)))
        done = await rekey(store)

    assert 0 < left < 1_000
    assert done == (1_000, left, 0, [])


@each_store
async def test_no_change_of_a_visitor_is_lost(kind: str, tmp_path: Path) -> None:
    """Twenty sessions count while their rows are sealed again; a touch is not undone."""
    async with opened(kind, tmp_path) as inner:
        store = sealed(inner, BOTH)
        sids = [f"{n}" for n in range(20)]
        for sid in sids:
            await inner.create(sid, session_of("ada", count=0))
        manager = manager_of(store)
        done = asyncio.Event()

        async def use(sid: str) -> int:
            times = 0
            while not done.is_set() or not times:
                await visit(manager, sid, lambda session: session.update(count=session["count"] + 1))
                times += 1
                await asyncio.sleep(0)  # a store in memory waits for nothing
            return times

        using = [asyncio.create_task(use(sid)) for sid in sids]
        try:
            for _ in range(3):
                await rekey(store)
        finally:
            done.set()
        times = await asyncio.gather(*using)
        counted = [(await visit(manager, sid))["count"] for sid in sids]
        await manager.close()

    assert counted == times


async def test_what_cannot_be_opened_is_left_and_named() -> None:
    """With the others sealed; rows in the clear are nobody's to seal where all have to be sealed already."""
    inner = MemoryStore()
    await sealed(inner, OTHER).create("lost", session_of("ada"))
    await inner.create("nonsense", session_of()._replace(data="[]"))
    await inner.create("clear", session_of("ada"))
    before = await rows(inner)
    strict = await rekey(sealed(inner, BOTH, require_sealed=True))
    unchanged = await rows(inner) == before
    done = await rekey(HashedIds(sealed(inner, BOTH), NEW))

    assert strict == (3, 0, 2, ["lost"])
    assert unchanged
    assert done == (3, 1, 0, ["lost", "nonsense"])
    assert unsealed({"clear": (await rows(inner))["clear"]}) == set()


async def test_rows_from_before_the_user_key_are_found_after_it() -> None:
    """A row that was sealed when nobody asked for users names none in the clear."""
    inner = MemoryStore()
    old = session_of(user=None)
    await SealedStore(inner, NEW).create("a", old._replace(data=old.data[:-1] + ',"user":"ada"}'))
    store = sealed(inner, NEW)
    done = await rekey(store)
    again = await rekey(store)
    blind = await rekey(SealedStore(inner, NEW))
    manager = manager_of(store)
    ended = await manager.revoke_all("ada")
    await manager.close()

    assert (done.sealed, again.sealed, blind.sealed) == (1, 0, 0)
    assert ended == 1


async def test_a_store_that_is_not_sealed_is_refused() -> None:
    """There is nothing to seal it with."""
    with pytest.raises(OptionsError, match=r"^encryption: memory:: has no sealed rows"):
        await rekey(MemoryStore())


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_seals_and_says_how_many(kind: str, tmp_path: Path) -> None:
    """On every store; with `--json` one document."""
    place = Place(kind, tmp_path)
    place.put("ada")
    place.put("bob")
    key = tmp_path / "key"
    key.write_text((b"n" * 32).hex())
    key.chmod(0o600)
    plain = place.run("rekey")
    keys = f'encryption.keys = [{{ id = "new", file = "{key}" }}]'
    place.config.write_text(place.config.read_text().replace("[session]", f"[session]\n{keys}"))
    done, again = place.run("rekey"), place.run("rekey", "--json")

    assert (plain.code, plain.err) == (2, "encryption: the configuration has no keys, so nothing is sealed\n")
    assert (done.code, done.out) == (0, "2 sessions sealed, of 2\n")
    assert again.json == {"seen": 2, "sealed": 0, "refused": 0, "failed": []}
