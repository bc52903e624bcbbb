"""Which user a session has, for both languages: Passport's logins are ours, and what Express may store beside our index.

Each store's pair has one user key, Passport's, and is shared by the tests: each has users of its own. Express comes
first, so that the table is the one that its store makes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from stores.redis_server import RedisServer
from users.odd import LOOK_ALIKES, USERS, odd_rows, of

from sessions.users import handle_of

from .client import Visitor, control
from .conftest import OPTIONS, Pair, Row, new_pair
from .test_interop_redis import RedisPair

OURS: dict[str, Any] = {"userKey": "passport.user", "nodePeer": True, "touchAfter": 0}
ODD = odd_rows(deep=1_500)
"""More deeply nested than SQLite's JSON takes. At some 2,000 levels express-session's own hash of a session (it has
JSON.stringify call a function) overflows Node's stack, on any store; what writes to the store without it goes further."""


class Site(NamedTuple):
    """Both servers, and what was stored before ours began."""

    pair: Pair
    before: dict[str | None, Row]


def express_first(pair: Pair) -> Iterator[Site]:
    """Start Express, have it make its table and three sessions in it, then start Tornado."""
    try:
        pair.start("express", OPTIONS)
        for user in ("before", "before", "somebody"):
            Visitor().post(pair.express, ("login", user))
        before = pair.rows()
        pair.start("tornado", {**OPTIONS, **OURS})
        ask(pair, "sessions_of", "nobody")  # now the index is there
        yield Site(pair, before)
    finally:
        pair.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mongodb", "redis"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The pair of a store."""
    folder = tmp_path_factory.mktemp("users")
    if request.param != "redis":
        yield from express_first(new_pair(request.param, folder))
        return
    with RedisServer() as server:
        yield from express_first(RedisPair(server, folder / "unused.db"))


def ask(pair: Pair, verb: str, *arguments: object) -> Any:
    """What Tornado's manager answers, a visitor without a session being there."""
    (result,) = Visitor().post(pair.tornado, (verb, *arguments)).results
    return result


def logged_in(pair: Pair, user: str, devices: int) -> list[Visitor]:
    """Visitors whom Passport has logged in."""
    visitors = [Visitor() for _ in range(devices)]
    for visitor in visitors:
        visitor.post(pair.express, ("login", user))
    return visitors


def seen_by(pair: Pair, server: str, visitors: list[Visitor]) -> list[str | None]:
    """Whom a server takes each visitor for."""
    return [visitor.post(pair[server], ("user",)).results[0] for visitor in visitors]


def test_the_table_of_nodes_store_gets_its_index_without_a_lost_row(site: Site) -> None:
    """And whom Node had signed in before is listed."""
    pair, before = site

    listed = ask(pair, "sessions_of", "before")

    after = pair.rows()
    assert len(before) == 3
    assert {sid: after.get(sid) for sid in before} == before
    assert set(listed) == {
        handle_of(str(sid)) for sid, row in before.items() if row.data["passport"]["user"] == "before"
    }
    if not isinstance(pair, RedisPair):  # which looks at every key beside Node
        assert ("user_1" if pair.mongodb else "passport") in pair.indexes()


def test_what_express_stores_beside_the_index_ends_with_its_user(site: Site) -> None:
    """Every odd session is stored without an error, and `revoke_all` ends a user's and no other."""
    pair, _ = site
    before = set(pair.rows())
    sids = {Visitor().post(pair.express, ("put", text)).sid: name for name, (text, _) in ODD.items()}
    errors = control(pair.express, "errors")
    stored = {sids[sid] for sid in pair.rows() if sid in sids}

    ended: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    left = set(pair.rows())
    for user in (*LOOK_ALIKES, *USERS):
        counts[user] = ask(pair, "revoke_all", user)
        now = set(pair.rows())
        ended[user], left = {sids.get(sid, "another") for sid in left - now}, now

    # JavaScript has one kind of number: its 1.0 is stored as 1.
    expected = {user: of(user) | ({"1.0"} if user == "1" else set()) for user in (*LOOK_ALIKES, *USERS)}
    assert errors == []
    assert stored == set(ODD)
    assert ended == expected
    assert counts == {user: len(names) for user, names in expected.items()}
    assert left >= before
    assert pair.complaints() == "ok"


def test_passports_sessions_are_listed_and_ended(site: Site) -> None:
    """One by `revoke`, the others by `revoke_all`; Express signs their visitors out, and nobody else."""
    pair, _ = site
    visitors, another = logged_in(pair, "grace", 3), logged_in(pair, "linus", 1)
    sids = [visitor.post(pair.express, ("data",)).sid for visitor in visitors]

    known = seen_by(pair, "tornado", visitors)
    listed = ask(pair, "sessions_of", "grace")
    revoked = [ask(pair, "revoke", user, handle_of(str(sids[0]))) for user in ("linus", "grace")]
    after_one = seen_by(pair, "express", visitors)
    rest = ask(pair, "revoke_all", "grace")

    assert known == ["grace"] * 3
    assert sorted(listed) == sorted(handle_of(str(sid)) for sid in sids)
    assert revoked == [0, 1]
    assert after_one == [None, "grace", "grace"]
    assert rest == 2
    assert ask(pair, "sessions_of", "grace") == []
    assert seen_by(pair, "express", [*visitors, *another]) == [None, None, None, "linus"]
    assert control(pair.express, "errors") == []


def test_who_signs_in_here_is_passports_user(site: Site) -> None:
    """With the data of the anonymous visitor, until Passport logs out, which signs out here."""
    pair, _ = site
    visitor = Visitor()
    visitor.post(pair.express, ("set", "basket", [1]))

    visitor.post(pair.tornado, ("sign_in", "edsger"))
    there = visitor.post(pair.express, ("user",), ("get", "basket")).results
    listed = ask(pair, "sessions_of", "edsger")
    visitor.post(pair.express, ("logout",))

    assert there == ["edsger", [1]]
    assert len(listed) == 1
    assert seen_by(pair, "tornado", [visitor]) == [None]
    assert ask(pair, "sessions_of", "edsger") == []


def test_a_session_that_was_signed_in_here_ends_at_express(site: Site) -> None:
    """Whoever has signed it in."""
    pair, _ = site
    here, there = Visitor(), *logged_in(pair, "barbara", 1)
    here.post(pair.tornado, ("sign_in", "barbara"))
    before = seen_by(pair, "express", [here, there])

    ended = ask(pair, "revoke_all", "barbara")

    assert before == ["barbara", "barbara"]
    assert ended == 2
    assert seen_by(pair, "express", [here, there]) == [None, None]
