"""`sweep` deletes what has expired, unless another process does."""

from collections.abc import Callable

from clock import HOUR

from .support import Place, process


def test_expired_sessions_are_deleted(place: Place) -> None:
    """In steps of the configuration's `batch`; the others stay. Redis drops its own."""
    living = place.put("ada")
    place.put_all([("ada", None, {"n": number}) for number in range(450)], lives=-HOUR)

    ran = place.run("sweep", "--json")

    if place.kind.startswith("redis"):
        assert (ran.code, ran.json) == (0, {"deleted": 0, "sweptBy": "the store"})
    else:
        assert (ran.code, ran.json) == (0, {"deleted": 450, "sweptBy": None})
        assert place.run("stats", "--json").json["expired"] == 0
    assert place.living() == {living}


def test_a_person_reads_how_many(place: Place) -> None:
    """Or why there are none."""
    place.put("ada", lives=-HOUR)

    ran = place.process("sweep")

    said = "drops expired sessions by itself" if place.kind.startswith("redis") else "1 session deleted\n"
    assert ran.code == 0
    assert said in ran.out


def test_beside_a_server_that_sweeps_nothing_is_deleted(sqlite: Callable[..., Place]) -> None:
    """One process at a time; that is no failure."""
    place = sqlite()
    place.put("ada", lives=-HOUR)

    async def beside(store: object) -> object:
        assert store.lead()  # type: ignore[attr-defined] # SQLiteStore
        return process(place.folder, "sweep", "--store", "sqlite:sessions.db", "--json")

    ran = place.within(beside)

    assert (ran.code, ran.json) == (0, {"deleted": 0, "sweptBy": "another process"})  # type: ignore[attr-defined] # Ran
    assert place.run("sweep", "--json").json["deleted"] == 1
