"""A copy between stores with sealed data and hashed ids: what TO can find is carried, and the rest is refused by name."""

from pathlib import Path

import pytest
from users.managing import visit

from sessions import HashedIds, MemoryStore, OptionsError, SealedStore, Store
from sessions.copying.copier import Copier
from sessions.copying.journal import Journal

from .support import NEW, OLD, manager_of, rows, session_of


async def copied(source: Store, target: Store, place: Path) -> None:
    """Make one pass."""
    async with Journal(place / "journal.db", "FROM", "TO") as journal:
        await Copier(source, target, journal).run_pass()


async def test_a_copy_into_a_sealed_store_with_hashed_ids_signs_nobody_out(tmp_path: Path) -> None:
    """It is taken over there at the next request."""
    source, inner = MemoryStore(), MemoryStore()
    await source.create("a", session_of("ada", n=1))
    target = HashedIds(SealedStore(inner, NEW), NEW)
    await copied(source, target, tmp_path)
    manager = manager_of(target)
    seen = (await visit(manager, "a")).copy()
    await manager.close()

    assert seen == {"user": "ada", "n": 1}
    assert "ada" not in (await rows(inner))[target.key_of("a")]


@pytest.mark.parametrize("target", [MemoryStore(), HashedIds(MemoryStore(), OLD)], ids=["plain", "another key"])
async def test_hashed_ids_are_not_copied_where_nobody_finds_them(tmp_path: Path, target: Store) -> None:
    """Everybody would be signed out."""
    with pytest.raises(OptionsError, match=r"^hashedIds: FROM has hashed ids"):
        await copied(HashedIds(MemoryStore(), NEW), target, tmp_path)
