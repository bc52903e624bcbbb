"""`stats` counts the sessions of a store."""

from collections.abc import Callable

from clock import DAY, HOUR

from sessions import now_ms

from .support import Place

MEMBERS = [
    "store", "living", "expired", "tombstones", "unreadable", "bytes", "oldest", "anonymous", "users", "most",
]  # fmt: skip


def test_living_sessions_and_their_users_are_counted(place: Place) -> None:
    """One and "1" are one user; who has the most comes first."""
    place.put_all([("ada", None, {}), ("ada", None, {}), (1, None, {}), ("1", None, {}), ("bob", None, {})])
    place.put(None, theme="dark")

    ran = place.run("stats", "--json")

    counted = ran.json
    assert (ran.code, ran.err) == (0, "")
    assert (counted["living"], counted["anonymous"], counted["users"]) == (6, 1, 3)
    most = [(each["user"], each["sessions"]) for each in counted["most"]]
    assert sorted(most[:2]) == [("1", 2), ("ada", 2)]
    assert most[2] == ("bob", 1)


def test_the_members_of_the_document_are_stable(place: Place) -> None:
    """Scripts read them; an empty store has them too."""
    ran = place.run("stats", "--json")

    assert list(ran.json) == MEMBERS
    assert (ran.json["living"], ran.json["bytes"], ran.json["oldest"], ran.json["most"]) == (0, 0, None, [])
    assert ran.json["expired"] == (None if place.kind.startswith("redis") else 0)


def test_expired_sessions_are_counted_where_they_wait(sqlite: Callable[..., Place]) -> None:
    """Until the sweep."""
    place = sqlite()
    place.put("ada", lives=-HOUR)
    place.put("ada")

    counted = place.run("stats", "--json").json

    assert (counted["living"], counted["expired"]) == (1, 1)


def test_the_oldest_is_the_one_that_signed_in_first(place: Place) -> None:
    """Or was made first, where that is kept."""
    now = now_ms()
    place.put("ada", meta={"signedInAt": now - HOUR})
    oldest = place.put("ada", meta={"signedInAt": now - HOUR, "createdAt": now - 3 * DAY})

    counted = place.run("stats", "--json").json

    assert counted["oldest"]["handle"] == oldest
    assert counted["oldest"]["since"].endswith("Z")


def test_bytes_are_exact_in_json_and_readable_for_a_person(sqlite: Callable[..., Place]) -> None:
    """Decimal units, of the sessions' text."""
    place = sqlite()
    text = '{"cookie":{},"text":"' + "é" * 1_000 + '"}'
    place.put_text(text)

    assert place.run("stats", "--json").json["bytes"] == len(text.encode())
    assert place.run("stats").facts["bytes"] == "2.0 kB"


def test_a_tombstone_is_counted_apart(place: Place) -> None:
    """It is no session of anybody."""
    place.put("ada")
    place.put(None, meta={"closed": now_ms() + DAY, "next": "elsewhere"})

    counted = place.run("stats", "--json").json

    assert (counted["living"], counted["tombstones"], counted["anonymous"]) == (1, 1, 0)


def test_a_row_that_is_no_session_is_counted_apart(sqlite: Callable[..., Place]) -> None:
    """And stops nothing."""
    place = sqlite()
    place.put_text("no JSON")
    place.put("ada")

    counted = place.run("stats", "--json").json

    assert (counted["living"], counted["unreadable"], counted["users"]) == (2, 1, 1)


def test_without_a_user_key_nobody_is_counted(sqlite: Callable[..., Place]) -> None:
    """The members are there, and say that nothing is known."""
    place = sqlite()
    place.put("ada")
    place.config.write_text(place.config.read_text().replace("userKey", "# userKey"))

    counted = place.run("stats", "--json").json

    assert (counted["living"], counted["anonymous"], counted["users"], counted["most"]) == (1, None, None, [])
