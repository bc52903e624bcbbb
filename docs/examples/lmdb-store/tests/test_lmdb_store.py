"""What the contract cannot see: how the store ends, and what it says of LMDB's errors."""

import asyncio
from pathlib import Path

import lmdb
import pytest
from lmdb_store import LmdbStore

from sessions import OptionsError, StoredSession, StoreUnavailable

END = 8_640_000_000_000_000
RECORD = StoredSession('{"a": 1}', END)


def test_a_close_waits_for_the_steps_of_cancelled_callers(tmp_path: Path) -> None:
    """Each is done whole or not at all, and the folder can be opened again at once."""

    async def trial() -> list[tuple[str, StoredSession]]:
        for turn in range(20):
            async with LmdbStore(f"lmdb:{tmp_path}/kept", sync=False) as store:
                tasks = [asyncio.create_task(store.create(f"{turn}-{n}", RECORD)) for n in range(20)]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        async with LmdbStore(f"lmdb:{tmp_path}/kept") as store:
            return [row async for row in store.all()]

    rows = asyncio.run(trial())

    assert rows
    assert {record for _, record in rows} == {RECORD}


def test_two_stores_of_a_folder_close_apart(tmp_path: Path) -> None:
    """The one that is left has the folder still."""

    async def trial() -> StoredSession | None:
        async with LmdbStore(f"lmdb:{tmp_path}/kept") as left:
            async with LmdbStore(f"lmdb:{tmp_path}/./kept") as right:
                await right.create("a", RECORD)
            return await left.get("a")

    assert asyncio.run(trial()) == RECORD


def test_a_full_folder_may_have_room_later(tmp_path: Path) -> None:
    """LMDB's error is the cause, and a session that is deleted makes room."""
    large = RECORD._replace(data='"' + "a" * 50_000 + '"')

    async def fill(store: LmdbStore) -> None:
        for n in range(100):
            await store.create(f"{n}", large)

    async def trial() -> StoredSession | None:
        async with LmdbStore(f"lmdb:{tmp_path}/kept", map_size=1 << 20, sync=False) as store:
            with pytest.raises(StoreUnavailable, match=r"MapFullError$") as error:
                await fill(store)
            assert isinstance(error.value.__cause__, lmdb.MapFullError)
            await store.destroy("0")
            return await store.create("new", RECORD)

    assert asyncio.run(trial()) == RECORD


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    """Before it is opened, and where it cannot be."""
    (tmp_path / "file").touch()
    store = LmdbStore(f"lmdb:{tmp_path}/file/kept")

    with pytest.raises(StoreUnavailable, match=r"NotADirectoryError$"):
        asyncio.run(store.__aenter__())
    with pytest.raises(StoreUnavailable, match=r"not open$"):
        asyncio.run(store.get("a"))
    assert not store.ready


@pytest.mark.parametrize(("url", "map_size"), [("lmdb:", 1 << 30), ("lmdb:kept", 1_048_575)])
def test_a_wrong_option_is_refused(url: str, map_size: int) -> None:
    """By the option's name."""
    with pytest.raises(OptionsError, match=r"^(store|mapSize): expected "):
        LmdbStore(url, map_size=map_size)
