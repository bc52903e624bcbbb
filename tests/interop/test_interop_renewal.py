"""A renewed cookie at Express: with the lines of docs/renewal.md its store finds the same rows, and without them none."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import pytest

from .client import SECONDS, Visitor, control
from .conftest import ROOT, MakePair, Pair
from .processes import wait_until

(LINES,) = re.findall(r"^```js\n(.*?)^```$", (ROOT / "docs/renewal.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)

RENEWS = {"renewAfter": 100, "grace": 10}
EACH_STORE = pytest.mark.parametrize("backend", ["sqlite", "postgres", "mongodb"], indirect=True)


def tag(visitor: Visitor) -> str:
    """The tag of the cookie; "" for none."""
    found = re.search(r"~([\w-]{8})\.", unquote(str(visitor.cookies["shared.sid"].value)))
    return found[1] if found else ""


def renewed(pair: Pair, visitor: Visitor) -> dict[str, Any]:
    """Ask Tornado until the cookie has another tag; the data then."""
    before = tag(visitor)
    data: list[Any] = []

    def is_other() -> bool:
        data[:] = visitor.post(pair.tornado, ("data",)).results
        return tag(visitor) != before

    wait_until(is_other, SECONDS)
    return dict(data[0])


@EACH_STORE
def test_a_renewed_cookie_is_the_same_session_at_express(make_pair: MakePair) -> None:
    """It reads, changes and keeps what is ours; the change is here, and so is the next value."""
    pair = make_pair(tornado=RENEWS, STORE_LINES=LINES)
    visitor = Visitor()
    made = visitor.post(pair.tornado, ("set", "user", "ada"))
    renewed(pair, visitor)

    seen = visitor.post(pair.express, ("get", "user"), ("set", "theme", "dark"))
    back = renewed(pair, visitor)

    assert seen.results[0] == "ada"
    assert back == {"user": "ada", "theme": "dark"}
    assert set(pair.rows()) == {made.sid}
    assert pair.row(made.sid).data["__meta"]["tag"] == tag(visitor)
    assert control(pair.express, "errors") == []


@EACH_STORE
@pytest.mark.parametrize("verb", ["destroy", "regenerate"])
def test_an_end_at_express_is_an_end_here(make_pair: MakePair, verb: str) -> None:
    """By the renewed cookie."""
    pair = make_pair(tornado=RENEWS, STORE_LINES=LINES)
    visitor = Visitor()
    made = visitor.post(pair.tornado, ("set", "user", "ada"))
    renewed(pair, visitor)

    visitor.post(pair.express, (verb,))

    assert not pair.has(made.sid)
    assert visitor.post(pair.tornado, ("data",)).results == [{}]


def test_a_session_of_express_is_renewed_here(make_pair: MakePair) -> None:
    """At its first request, as it says no moment."""
    pair = make_pair(tornado=RENEWS, STORE_LINES=LINES)
    visitor = Visitor()
    visitor.post(pair.express, ("set", "user", "ada"))

    answer = visitor.post(pair.tornado, ("data",))

    assert answer.results == [{"user": "ada"}]
    assert tag(visitor)
    assert visitor.post(pair.express, ("get", "user")).results == ["ada"]


def test_without_the_lines_express_knows_no_renewed_cookie(make_pair: MakePair) -> None:
    """Why `renewAfter` is an error with `nodePeer`."""
    pair = make_pair(tornado=RENEWS)
    visitor = Visitor()
    visitor.post(pair.tornado, ("set", "user", "ada"))
    renewed(pair, visitor)
    cookie = f"shared.sid={visitor.cookies['shared.sid'].value}"

    seen = Visitor().post(pair.express, ("get", "user"), headers={"Cookie": cookie})

    assert seen.results == [None]


@pytest.mark.parametrize(("arrives", "left"), [(True, {"user": "ada", "late": 1}), (False, {})])
def test_a_save_of_express_takes_a_renewal_back(
    make_pair: MakePair, pool: ThreadPoolExecutor, arrives: bool, left: dict[str, Any]
) -> None:
    """It writes what it has loaded before, and sends the value that came; if that answer is lost, the owner is out."""
    pair = make_pair(tornado=RENEWS, STORE_LINES=LINES)
    visitor = Visitor()
    visitor.post(pair.tornado, ("set", "user", "ada"))
    renewed(pair, visitor)
    cookie = {"Cookie": f"shared.sid={visitor.cookies['shared.sid'].value}"}
    slow = visitor if arrives else Visitor()
    ops = ("get", "user"), ("hold", "late"), ("set", "late", 1)
    late = pool.submit(slow.post, pair.express, *ops, headers=cookie)
    control(pair.express, "arrived/late")
    renewed(pair, visitor)

    control(pair.express, "open/late")
    late.result(SECONDS)

    assert visitor.post(pair.tornado, ("data",)).results == [left]
