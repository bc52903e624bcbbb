"""One login for both languages: a real Express server and a Tornado server on one store, both running.

Where a test names "one" and "the other" it runs both ways round. What a Node writer's blind upsert can still undo is
the last class but one: those tests hold the weakness still, so that the documentation stays true.
"""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any

import pytest

from .client import HOST, SECONDS, Op, Reply, Visitor, control
from .conftest import OPTIONS, MakePair, Pair, PairWith, running
from .processes import wait_until

BOTH_WAYS = pytest.mark.parametrize(("one", "other"), [("express", "tornado"), ("tornado", "express")])
EACH_STORE = pytest.mark.parametrize("backend", ["sqlite", "postgres", "mongodb"], indirect=True)
EACH = pytest.mark.parametrize("one", ["express", "tornado"])
DAY = 86_400_000
DRIFT = 250
"""Milliseconds by which Node may be off: express-session's Cookie writes a lifetime down as what is left of it a moment
later (session/cookie.js: the setter of `expires` asks `maxAge`), and a busy machine makes that moment long."""


def now() -> float:
    """Milliseconds since the epoch."""
    return time.time() * 1000


def masked(set_cookie: str) -> str:
    """A Set-Cookie header without what differs by nature: the id and its signature, and the moment."""
    return re.sub(r"Expires=[^;]+", "Expires=*", re.sub(r"=s%3A[\w-]{32}\.[\w%]+", "=s%3A*", set_cookie))


def expires_ms(set_cookie: str) -> float:
    """The Expires of a Set-Cookie header in milliseconds; it is in whole seconds."""
    found = re.search(r"Expires=([^;]+)", set_cookie)
    assert found is not None, set_cookie
    return parsedate_to_datetime(found[1]).timestamp() * 1000


@EACH_STORE
@BOTH_WAYS
class TestSharedSession:
    """What the one does to a session, the other has."""

    def test_read(self, pair: Pair, one: str, other: str) -> None:
        """A session made by the one is the same session at the other, which has nothing to send or to write."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        before = pair.row(made.sid)

        read = visitor.post(pair[other], ("data",))

        assert read.results == [{"user": "ada"}]
        assert read.sid == made.sid
        assert read.set_cookies == []
        after = pair.row(made.sid)
        assert after.text == before.text

    def test_change(self, pair: Pair, one: str, other: str) -> None:
        """A key set, a nested value changed and a key deleted by the other are so at the one."""
        visitor = Visitor()
        visitor.post(pair[one], ("set", "user", "ada"), ("set", "basket", [1]), ("set", "flash", "hello"))

        visitor.post(pair[other], ("set", "theme", "dark"), ("push", "basket", {"sku": 2}), ("delete", "flash"))

        (data,) = visitor.post(pair[one], ("data",)).results
        assert data == {"user": "ada", "basket": [1, {"sku": 2}], "theme": "dark"}

    def test_many_turns(self, pair: Pair, one: str, other: str) -> None:
        """A counter that both raise in turns counts every turn."""
        visitor = Visitor()
        for _ in range(10):
            visitor.post(pair[one], ("incr", "n"))
            visitor.post(pair[other], ("incr", "n"))

        assert visitor.post(pair[one], ("get", "n")).results == [20]

    def test_sign_out(self, pair: Pair, one: str, other: str) -> None:
        """Destroyed by the other, the session is gone at the one too, and the old cookie gets a fresh id."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        stolen = visitor.cookies["shared.sid"].value

        visitor.post(pair[other], ("destroy",))

        assert not pair.has(made.sid)
        late = Visitor().post(pair[one], ("data",), headers={"Cookie": f"shared.sid={stolen}"})
        assert late.results == [{}]
        assert late.sid != made.sid

    def test_regenerate(self, pair: Pair, one: str, other: str) -> None:
        """A login at the other gives a new id that the one knows, and ends the old one there."""
        visitor = Visitor()
        before = visitor.post(pair[one], ("set", "basket", [1]))
        old = visitor.cookies["shared.sid"].value

        after = visitor.post(pair[other], ("regenerate",), ("set", "user", "ada"))

        assert after.sid != before.sid
        assert visitor.post(pair[one], ("data",)).results == [{"user": "ada"}]
        (left,) = Visitor().post(pair[one], ("data",), headers={"Cookie": f"shared.sid={old}"}).results
        assert left.keys() <= {"__meta"}  # what Express sees of the tombstone that Tornado leaves

    def test_values(self, pair: Pair, one: str, other: str) -> None:
        """Every kind of JSON value goes across and back, and a look at it is not a change."""
        values = {
            "text": 'zażółć 🐍 \u2028 "\\/\b\f\n\r\t\u0001',
            "numbers": [0, -1.5, 9007199254740991, 1e21, 1e-7, 123456789012.25],
            "nothing": None,
            "nested": {"list": [[], {}, [{"deep": [True, False, None]}]], "": "empty key"},
        }
        visitor = Visitor()
        made = visitor.post(pair[one], *(("set", key, value) for key, value in values.items()))
        before = pair.row(made.sid)

        (seen,) = visitor.post(pair[other], ("data",)).results
        unchanged = pair.row(made.sid)
        visitor.post(pair[other], ("set", "more", 1))
        (back,) = visitor.post(pair[one], ("data",)).results

        assert seen == values
        assert unchanged.text == before.text
        assert back == {**values, "more": 1}

    def test_lifetime_of_its_own(self, pair: Pair, one: str, other: str) -> None:
        """A "remember me" set by the one is kept by the other, in the store and in the browser."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"), ("set_max_age", 30 * DAY))
        start = now()

        changed = visitor.post(pair[other], ("set", "theme", "dark"))

        row = pair.row(made.sid)
        assert row.cookie["originalMaxAge"] == pytest.approx(30 * DAY, abs=DRIFT)
        assert start + 30 * DAY - DRIFT <= row.expired <= now() + 30 * DAY + pair.rounding
        assert start - 1000 - DRIFT <= expires_ms(changed.set_cookies[0]) - 30 * DAY <= now()

    def test_cookie_setting_alone(self, pair: Pair, one: str, other: str) -> None:
        """A lifetime that the other sets, changing nothing else, holds at the one."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        start = now()

        visitor.post(pair[other], ("set_max_age", 5 * DAY), ("save",))

        row = pair.row(made.sid)
        assert row.cookie["originalMaxAge"] == pytest.approx(5 * DAY, abs=DRIFT)
        assert start + 5 * DAY - DRIFT <= row.expired <= now() + 5 * DAY + pair.rounding
        assert visitor.post(pair[one], ("original_max_age",)).results == pytest.approx([5 * DAY], abs=DRIFT)

    def test_expired(self, pair_with: PairWith, one: str, other: str) -> None:
        """What the one let expire is nobody's session at the other: fresh id, no data."""
        pair = pair_with({"cookie": {"maxAge": 400}})
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        stolen = visitor.cookies.get("shared.sid")
        row = pair.row(made.sid)

        wait_until(lambda: now() > row.expired + 2, 5)

        assert "shared.sid" not in visitor.cookies
        header = {"Cookie": made.set_cookies[0].partition(";")[0]}
        late = Visitor().post(pair[other], ("data",), headers=header)
        assert late.results == [{}]
        assert late.sid != made.sid
        assert stolen is None or stolen.expires is not None

    def test_use_prolongs(self, pair_with: PairWith, one: str, other: str) -> None:
        """A session that is only read at the other lives on at the one, beyond its first lifetime."""
        pair = pair_with({"cookie": {"maxAge": 1500}}, touchAfter=0)
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        header = {"Cookie": made.set_cookies[0].partition(";")[0]}  # the jar drops it in time, as a browser does
        first = pair.row(made.sid)

        def is_used_beyond_it() -> bool:
            assert Visitor().post(pair[other], ("get", "user"), headers=header).results == ["ada"]
            return now() > first.expired + 200

        wait_until(is_used_beyond_it, 20, step=0.1)

        assert Visitor().post(pair[one], ("get", "user"), headers=header).results == ["ada"]


COOKIES: dict[str, dict[str, Any]] = {
    "the seed's": {"maxAge": DAY, "httpOnly": True, "sameSite": "strict", "secure": True},
    "browser session": {"sameSite": "lax"},
    "all of it": {
        "path": "/app", "maxAge": 3_600_000, "httpOnly": False, "secure": True, "sameSite": "none",
        "partitioned": True, "priority": "high",
    },
    "auto": {"maxAge": 60_000, "secure": "auto", "sameSite": "auto"},
    "no attributes": {"httpOnly": False, "sameSite": False},
}  # fmt: skip


@pytest.fixture(scope="module", params=COOKIES.values(), ids=list(COOKIES))
def pair_of_cookie(
    request: pytest.FixtureRequest, backend: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """A pair for each of the cookies."""
    options = {"cookie": request.param, "proxy": True, "rolling": True, "name": "mySession"}
    with running(backend, tmp_path_factory.mktemp("pair"), {**OPTIONS, **options}) as pair:
        yield pair


@EACH_STORE
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_same_attributes(pair_of_cookie: Pair, tls: bool) -> None:
    """Given the same options both send the same Set-Cookie, attribute for attribute, and store the same text."""
    pair = pair_of_cookie
    replies: dict[str, list[Reply]] = {}
    texts: dict[str, str] = {}
    for name in ("express", "tornado"):
        visitor = Visitor(tls=tls)
        turns: list[Op] = [("set", "user", "ada"), ("get", "user"), ("set", "n", 1)]
        replies[name] = [visitor.post(pair[name], op, path="/app/x") for op in turns]
        row = pair.row(replies[name][-1].sid)
        dateless = re.sub(r'"expires":"[^"]+"', '"expires":"*"', row.text)
        texts[name] = re.sub(r"(?<=originalMaxAge.:)\d+", lambda ms: str(round(int(ms[0]), -3)), dateless)  # see DRIFT

    sent = {name: [list(map(masked, each.set_cookies)) for each in replies[name]] for name in replies}
    assert sent["tornado"] == sent["express"]
    assert [each.results for each in replies["tornado"]] == [each.results for each in replies["express"]]
    assert texts["tornado"] == texts["express"]


@EACH_STORE
class TestExpiry:
    """Both keep the same time."""

    @EACH
    def test_saved(self, pair: Pair, one: str) -> None:
        """A save sets row, text and cookie to the same moment: its own, plus maxAge."""
        start = now()
        made = Visitor().post(pair[one], ("set", "user", "ada"))
        end = now()

        row = pair.row(made.sid)
        assert start + 60_000 - DRIFT <= row.expired <= end + 60_000 + pair.rounding
        assert start - 1000 - DRIFT <= expires_ms(made.set_cookies[0]) - 60_000 <= end
        assert made.set_cookies[0].count("Expires") == 1

    @BOTH_WAYS
    def test_touched(self, pair: Pair, one: str, other: str) -> None:
        """A request that changes nothing moves the row's expiry, and only that."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        before = pair.row(made.sid)
        start = now()

        visitor.post(pair[other], ("get", "user"))

        after = pair.row(made.sid)
        assert start + 60_000 - DRIFT <= after.expired <= now() + 60_000 + pair.rounding
        assert after.text == before.text

    @EACH
    def test_browser_session(self, pair_with: PairWith, one: str) -> None:
        """A session without maxAge is kept for a day, at connect-mongo for two weeks, and its cookie has no date."""
        pair = pair_with({"cookie": {}})
        kept = 14 * DAY if pair.mongodb and one == "express" else DAY
        start = now()
        made = Visitor().post(pair[one], ("set", "user", "ada"))

        row = pair.row(made.sid)
        assert start + kept - DRIFT <= row.expired <= now() + kept + pair.rounding
        assert row.cookie["expires"] is None
        assert "Expires" not in made.set_cookies[0]


class TestSecrets:
    """One secret, or one list of them."""

    @BOTH_WAYS
    def test_rotation(self, make_pair: MakePair, one: str, other: str) -> None:
        """While the other has the new secret in front already, cookies of both are good at both."""
        old, new = "the old secret, which is long enough", "the new secret, which is long enough"
        pair = make_pair(order=())
        pair.start(one, {**OPTIONS, "secret": [old, new]})
        pair.start(other, {**OPTIONS, "secret": [new, old]})
        visitor = Visitor()

        visitor.post(pair[one], ("set", "a", 1))
        by_old = visitor.cookies["shared.sid"].value
        visitor.post(pair[other], ("set", "b", 2))
        by_new = visitor.cookies["shared.sid"].value

        assert by_old != by_new
        assert visitor.post(pair[one], ("data",)).results == [{"a": 1, "b": 2}]

    @BOTH_WAYS
    def test_foreign_signature(self, pair: Pair, one: str, other: str) -> None:
        """An id of the one, signed with another secret, is a new visitor at the other."""
        made = Visitor().post(pair[one], ("set", "user", "ada"))
        forged = re.sub(r"\.[\w%]+", "." + "A" * 43, made.set_cookies[0].partition(";")[0])

        answer = Visitor().post(pair[other], ("data",), headers={"Cookie": forged})

        assert answer.results == [{}]
        assert answer.sid != made.sid


class TestAbsoluteTimeout:
    """What Tornado keeps with a session for `absoluteTimeout` outlives Node's saves, and is no data here."""

    def test_node_keeps_the_moment_of_creation(self, make_pair: MakePair) -> None:
        """Through changes, renewals and a key that Node spells before the cookie; a look at it writes nothing."""
        pair = make_pair(tornado={"absoluteTimeout": DAY, "touchAfter": OPTIONS["cookie"]["maxAge"] - 1})
        visitor = Visitor()
        made = visitor.post(pair.tornado, ("set", "user", "ada"), ("set", "old", 1))
        meta = pair.row(made.sid).data["__meta"]

        for _ in range(2):
            visitor.post(
                pair.express, ("set", "theme", "dark"), ("delete", "old"), ("set", "7", 7), ("touch",), ("save",)
            )
            visitor.post(pair.tornado, ("incr", "n"))
        visitor.post(pair.express, ("incr", "n"))
        after_node = pair.row(made.sid)
        read = visitor.post(pair.tornado, ("data",))

        assert list(meta) == ["createdAt"]
        assert abs(meta["createdAt"] - now()) < 60_000
        assert after_node.data["__meta"] == meta
        assert read.results == [{"7": 7, "user": "ada", "theme": "dark", "n": 3}]
        assert pair.row(made.sid).text == after_node.text

    def test_a_session_of_node_is_marked_at_its_first_visit_to_tornado(self, make_pair: MakePair) -> None:
        """By a request that only reads, without a cookie; Node keeps the mark from then on."""
        pair = make_pair(tornado={"absoluteTimeout": DAY})
        visitor = Visitor()
        made = visitor.post(pair.express, ("set", "user", "ada"))
        unmarked = pair.row(made.sid).data

        read = visitor.post(pair.tornado, ("data",))
        marked = pair.row(made.sid).data
        visitor.post(pair.express, ("set", "theme", "dark"))

        assert unmarked == {"user": "ada"}
        assert (read.results, read.set_cookies) == ([{"user": "ada"}], [])
        assert pair.row(made.sid).data == {**marked, "theme": "dark"}
        assert abs(marked["__meta"]["createdAt"] - now()) < 60_000


@EACH_STORE
class TestInFlight:
    """One of the two answers slowly while the other is done."""

    def test_node_signs_out(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A sign-out at Express lasts, although a Tornado request of that session ends later with a change."""
        visitor = Visitor()
        made = visitor.post(pair.tornado, ("set", "user", "ada"))
        slow = visitor.start(pool, pair.tornado, ("set", "seen", 1), ("hold", "sign-out"))
        control(pair.tornado, "arrived/sign-out")

        visitor.post(pair.express, ("destroy",))
        control(pair.tornado, "open/sign-out")
        late = slow.result()

        assert late.status == 200
        assert late.set_cookies == []
        assert not pair.has(made.sid)
        assert Visitor().post(
            pair.express, ("data",), headers={"Cookie": made.set_cookies[0].partition(";")[0]}
        ).results == [{}]

    def test_node_logs_in(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A login at Express (a new id) is not undone by a slow Tornado request of the old id."""
        visitor = Visitor()
        made = visitor.post(pair.express, ("set", "basket", [1]))
        slow = visitor.start(pool, pair.tornado, ("set", "seen", 1), ("hold", "login"))
        control(pair.tornado, "arrived/login")

        after = visitor.post(pair.express, ("regenerate",), ("set", "user", "ada"))
        control(pair.tornado, "open/login")

        assert slow.result().set_cookies == []
        assert not pair.has(made.sid)
        assert visitor.post(pair.tornado, ("data",)).results == [{"user": "ada"}]
        assert visitor.post(pair.tornado, ("data",)).sid == after.sid

    def test_tornado_merges(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A slow Tornado request keeps what Express saved meanwhile: both changes are there."""
        visitor = Visitor()
        visitor.post(pair.tornado, ("set", "user", "ada"))
        slow = visitor.start(pool, pair.tornado, ("set", "by tornado", 1), ("hold", "merge"))
        control(pair.tornado, "arrived/merge")

        visitor.post(pair.express, ("set", "by express", 2))
        control(pair.tornado, "open/merge")

        assert slow.result().status == 200
        assert visitor.post(pair.express, ("data",)).results == [{"user": "ada", "by express": 2, "by tornado": 1}]

    def test_node_only_reads(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A sign-out at Tornado lasts, although an Express request that changes nothing ends later (resave off)."""
        visitor = Visitor()
        made = visitor.post(pair.express, ("set", "user", "ada"))
        slow = visitor.start(pool, pair.express, ("get", "user"), ("hold", "reads"))
        control(pair.express, "arrived/reads")

        visitor.post(pair.tornado, ("destroy",))
        control(pair.express, "open/reads")

        assert slow.result().results == ["ada", None]
        assert not pair.has(made.sid)


class TestWhatNodeCanUndo:
    """The documented weakness, and how to live with it (docs/examples/express-and-tornado/README.md).

    express-session saves the whole session as it was when its request began, and connect-sqlite3 writes it with INSERT OR
    REPLACE: nothing that the library writes can prevent what follows.
    """

    def test_a_change(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A slow Express writer overwrites a key that Tornado saved meanwhile."""
        visitor = Visitor()
        visitor.post(pair.express, ("set", "user", "ada"))
        slow = visitor.start(pool, pair.express, ("set", "by express", 1), ("hold", "change"))
        control(pair.express, "arrived/change")

        visitor.post(pair.tornado, ("set", "by tornado", 2))
        control(pair.express, "open/change")
        slow.result()

        assert visitor.post(pair.tornado, ("data",)).results == [{"user": "ada", "by express": 1}]

    def test_a_sign_out(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """A slow Express writer brings back a session that was signed out at Tornado: the old cookie works again."""
        visitor = Visitor()
        made = visitor.post(pair.express, ("set", "user", "ada"))
        slow = visitor.start(pool, pair.express, ("set", "seen", 1), ("hold", "sign-out undone"))
        control(pair.express, "arrived/sign-out undone".replace(" ", "%20"))

        visitor.post(pair.tornado, ("destroy",))
        assert not pair.has(made.sid)
        control(pair.express, "open/sign-out undone".replace(" ", "%20"))
        slow.result()

        header = {"Cookie": made.set_cookies[0].partition(";")[0]}
        assert Visitor().post(pair.tornado, ("get", "user"), headers=header).results == ["ada"]

    def test_reload_narrows_it(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """The remedy on the Node side: `reload` right before the change, `touch` and `save` right after it.

        Both changes are kept; and after a sign-out `reload` fails, so nothing comes back.
        """
        visitor = Visitor()
        made = visitor.post(pair.express, ("set", "user", "ada"))
        held = ("hold", "remedy"), ("reload",), ("set", "by express", 1), ("touch",), ("save",)
        slow = visitor.start(pool, pair.express, *held)
        control(pair.express, "arrived/remedy")
        visitor.post(pair.tornado, ("set", "by tornado", 2))
        control(pair.express, "open/remedy")
        slow.result()
        both = visitor.post(pair.tornado, ("data",)).results

        held = ("hold", "too late"), ("reload",), ("set", "by express", 3), ("touch",), ("save",)
        slow = visitor.start(pool, pair.express, *held)
        control(pair.express, "arrived/too%20late")
        visitor.post(pair.tornado, ("destroy",))
        control(pair.express, "open/too%20late")

        assert both == [{"user": "ada", "by tornado": 2, "by express": 1}]
        assert slow.result().status == 500
        assert not pair.has(made.sid)
        assert control(pair.express, "errors") == ["failed to load session"]

    @BOTH_WAYS
    def test_its_own_session(self, pair_with: PairWith, one: str, other: str) -> None:
        """An explicit `save()` in Express of a session that was only read for longer than maxAge stores it as expired.

        connect-sqlite3's touch, as ours, moves the row's expiry and not the text's. `touch()` before `save()` helps.
        """
        pair = pair_with({"cookie": {"maxAge": 1500}}, touchAfter=0)
        lost, kept = (Visitor().post(pair[one], ("set", "user", "ada")) for _ in range(2))
        first = pair.row(kept.sid)

        def post(made: Reply, name: str, *ops: Op) -> Reply:
            return Visitor().post(pair[name], *ops, headers={"Cookie": made.set_cookies[0].partition(";")[0]})

        def are_read_beyond_it() -> bool:
            post(lost, other, ("get", "user"))
            post(kept, other, ("get", "user"))
            return now() > first.expired + 100

        wait_until(are_read_beyond_it, 20, step=0.1)
        post(lost, "express", ("save",))
        post(kept, "express", ("touch",), ("save",))

        assert post(lost, "tornado", ("get", "user")).results == [None]
        assert post(kept, "tornado", ("get", "user")).results == ["ada"]

    def test_without_serialize(self, make_pair: MakePair, pool: ThreadPoolExecutor) -> None:
        """Express loses saves under load, and answers 200, where connect-sqlite3 runs statements side by side.

        That is its default. Tornado on the same file loses none.
        """
        pair = make_pair(SERIALIZE="0")
        errors: list[str] = []

        def loaded() -> bool:
            load = Load(pair, pool, seconds=1)
            errors.extend(control(pair.express, "errors"))
            assert load.bad == []
            assert all(load.lost(plan) == 0 for plan in load.plans if plan == ("tornado",))
            return any(load.lost(plan) > 0 for plan in load.plans)

        wait_until(loaded, 20)

        assert set(errors) == {"SQLITE_BUSY: database is locked"}


class Load:
    """Eight visitors change their session at Express only, eight at Tornado only, and eight in turns at both."""

    plans = (("express",), ("tornado",), ("express", "tornado"))

    def __init__(self, pair: Pair, pool: ThreadPoolExecutor, *, seconds: float) -> None:
        self._pair = pair
        self._seconds = seconds
        self.begin = time.monotonic()
        self.done: dict[str, list[float]] = {"express": [], "tornado": []}
        """When each server answered."""
        self.bad: list[Reply] = []
        """Answers that were not 200."""
        plans = [plan for plan in self.plans for _ in range(8)]
        self._visits = list(zip(plans, pool.map(self._visit, plans), strict=True))

    def lost(self, wanted: tuple[str, ...]) -> int:
        """How many turns of the visitors with that plan are not in their sessions."""
        return sum(
            turns - visitor.post(self._pair[plan[0]], ("get", "n")).results[0]
            for plan, (visitor, turns) in self._visits
            if plan == wanted
        )

    def longest_silence(self, name: str) -> float:
        """Seconds in which a server answered nobody."""
        end = self.begin + self._seconds
        moments = [self.begin, *sorted(each for each in self.done[name] if each < end), end]
        return max(later - earlier for earlier, later in pairwise(moments))

    def _visit(self, plan: tuple[str, ...]) -> tuple[Visitor, int]:
        visitor, turns = Visitor(), 0
        connections = {name: HTTPConnection(HOST, self._pair[name], timeout=SECONDS) for name in set(plan)}
        while time.monotonic() < self.begin + self._seconds:
            for name in plan:
                reply = visitor.post_over(connections[name], ("incr", "n"))
                turns += 1
                self.done[name].append(time.monotonic())
                if reply.status != 200:
                    self.bad.append(reply)
        for connection in connections.values():
            connection.close()
        return visitor, turns


class TestSideBySide:
    """Both servers run on one file."""

    @pytest.mark.parametrize("wal", ["1", "0"], ids=["concurrentDb", "default"])
    @pytest.mark.parametrize("order", [("express", "tornado"), ("tornado", "express")], ids=" then ".join)
    def test_either_starts_first(self, make_pair: MakePair, order: tuple[str, str], wal: str) -> None:
        """On a new file either may be the first, whichever journal mode connect-sqlite3 asks for."""
        pair = make_pair(order=order, WAL=wal)
        visitor = Visitor()

        for name in (*order, *order):
            visitor.post(pair[name], ("incr", "n"))

        assert visitor.post(pair.express, ("get", "n")).results == [4]
        assert control(pair.express, "errors") == []

    def test_sweeper(self, make_pair: MakePair) -> None:
        """Tornado's sweeper removes what Express let expire, and nothing else."""
        pair = make_pair(SWEEP="1")
        live = Visitor().post(pair.express, ("set", "user", "ada"))
        dead = Visitor().post(pair.express, ("set", "user", "bob"), ("set_max_age", 50))

        wait_until(lambda: not pair.has(dead.sid), 15)

        assert pair.has(live.sid)

    def test_one_dies(self, make_pair: MakePair) -> None:
        """Killed without warning, either leaves a file that the other goes on with."""
        pair = make_pair()
        visitor = Visitor()
        visitor.post(pair.express, ("set", "by express", 1))

        pair.processes["express"].kill()
        visitor.post(pair.tornado, ("set", "by tornado", 2))
        pair.processes["tornado"].kill()
        pair.start("express", OPTIONS)

        assert visitor.post(pair.express, ("data",)).results == [{"by express": 1, "by tornado": 2}]

    def test_load(self, pair: Pair, pool: ThreadPoolExecutor) -> None:
        """Under load on both, nobody waits for the other's lock until it fails, and nobody loses a turn.

        Node's sqlite3 gives up on a lock after one second, and express-session then answers 200 all the same: its
        error list is asked as well.
        """
        load = Load(pair, pool, seconds=2)

        assert load.bad == []
        assert control(pair.express, "errors") == []
        assert control(pair.tornado, "errors") == []
        assert [load.lost(plan) for plan in load.plans] == [0, 0, 0]
        assert load.longest_silence("express") < 1
        assert load.longest_silence("tornado") < 1
