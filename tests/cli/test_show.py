"""`show` tells what is known of a session, and with --data what is in it."""

import json
from collections.abc import Callable

import pytest
from clock import DAY

from sessions import now_ms
from sessions.users import handle_of

from .support import COOKIE, Place


def test_a_session_is_found_by_its_handle(place: Place) -> None:
    """Whole, or by the 8 digits that the log shows."""
    handle = place.put("ada", cart=[1, 2])
    place.put("bob")

    for digits in (handle, handle[:8], handle.upper()):
        ran = place.run("show", digits, "--json")

        (shown,) = ran.json["sessions"]
        assert (ran.code, shown["handle"], shown["user"]) == (0, handle, "ada")
        assert "data" not in shown
        assert "cart" not in ran.out


def test_the_data_is_shown_without_cookie_and_meta(place: Place) -> None:
    """Only if it is asked for."""
    handle = place.put("ada", meta={"signedInAt": 5, "xsrf": "a-token", "stamp": "a-stamp"}, cart=[1, "é"])

    ran = place.run("show", handle, "--data", "--json")

    assert ran.json["sessions"][0]["data"] == {"cart": [1, "é"], "username": "ada"}
    assert not {"a-token", "a-stamp", "originalMaxAge"} & set(json.dumps(ran.json).split('"'))
    assert json.dumps(["é"])[2:-2] in ran.out


def test_an_id_that_an_application_keeps_in_the_data_is_not_shown(sqlite: Callable[..., Place]) -> None:
    """As a value, in a text, as a key."""
    place = sqlite()
    sid = "an-id-of-24-characters.."
    text = json.dumps({"cookie": COOKIE, "me": sid, "list": [f"s:{sid}.sig"], sid: {sid: 1}})
    handle = place.put_text(text, sid=sid)

    shown = place.run("show", handle, "--data", "--json").json["sessions"][0]["data"]

    assert shown == {"me": "(id)", "list": ["s:(id).sig"], "(id)": {"(id)": 1}}


def test_all_sessions_of_a_user_are_shown_with_their_data(place: Place) -> None:
    """What a request for access by GDPR asks for."""
    handles = place.put_all([("ada", None, {"n": 1}), ("ada", None, {"n": 2}), ("bob", None, {"n": 3})])

    ran = place.run("show", "--user", "ada", "--data", "--json")

    assert {each["handle"]: each["data"]["n"] for each in ran.json["sessions"]} == {handles[0]: 1, handles[1]: 2}


def test_nothing_that_matches_is_code_3(place: Place) -> None:
    """By handle, and by user."""
    place.put("ada")

    for arguments in (["0" * 32], ["--user", "nobody"]):
        ran = place.run("show", *arguments, "--json")

        assert (ran.code, ran.json, ran.err) == (3, {"sessions": []}, "no such session\n")


@pytest.mark.parametrize("given", ["1234567", "g" * 32, "Mu3ZC5GJ2NfKcCpUoMpAB8UULjsHvZ1N", "0" * 33, ""])
def test_what_is_no_handle_is_refused_and_not_repeated(sqlite: Callable[..., Place], given: str) -> None:
    """An operator may have pasted an id."""
    ran = sqlite().run("show", given)

    assert ran.code == 2
    assert ran.err.startswith("HANDLE: expected 8 to 32 hexadecimal digits")
    assert not given or given not in ran.err


def test_digits_of_several_sessions_are_refused(sqlite: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """More digits tell them apart."""
    place = sqlite()
    place.put_all([("ada", None, {}), ("bob", None, {})])
    monkeypatch.setattr("sessions.cli.found.handle_of", lambda key: "0" * 8 + handle_of(key)[8:])

    ran = place.run("show", "0" * 8)

    assert (ran.code, ran.err) == (2, "HANDLE: 2 sessions begin with 00000000; give more digits\n")


def test_a_tombstone_says_under_which_handle_its_session_goes_on(place: Place) -> None:
    """The log may have shown the old one."""
    successor = place.put("ada")
    old = place.put(None, meta={"closed": now_ms() + DAY, "next": place.ids[-1]})

    assert place.run("show", old, "--json").json["sessions"][0]["goesOnAs"] == successor
    assert place.run("show", old).facts["state"] == f"left for the session {successor}"


def test_a_row_that_is_no_session_is_said_to_be_none(sqlite: Callable[..., Place]) -> None:
    """What is in it is not shown: it may be anything."""
    place = sqlite()
    handle = place.put_text("garbage that is secret")

    ran, shown = place.run("show", handle, "--data"), place.run("show", handle, "--data", "--json")

    assert "it cannot be read" in ran.facts["state"]
    assert shown.json["sessions"][0]["data"] is None
    assert "garbage" not in ran.out + shown.out


def test_data_that_is_nested_deeply_is_cut_and_said_to_be(sqlite: Callable[..., Place]) -> None:
    """Node stores what Python cannot decode."""
    place = sqlite()
    handle = place.put_text('{"cookie":{},"deep":' + "[" * 3_000 + "]" * 3_000 + ',"n":1}')

    ran = place.run("show", handle, "--data", "--json")

    assert ran.json["sessions"][0]["data"]["n"] == 1
    assert "is shown as null" in ran.err


def test_a_person_reads_names_and_values(sqlite: Callable[..., Place]) -> None:
    """And the data as JSON, with what a terminal might obey escaped."""
    place = sqlite()
    handle = place.put("ada", text="é\u202e\u009b31m")

    ran = place.run("show", handle, "--data")

    assert (ran.facts["handle"], ran.facts["user"]) == (handle, "ada")
    assert '"text": "é\\u202e\\x9b31m"' in ran.out


@pytest.mark.parametrize("arguments", [(), ("0" * 32, "--user", "ada")])
def test_one_of_handle_and_user_is_given(sqlite: Callable[..., Place], arguments: tuple[str, ...]) -> None:
    """Neither, or both, is a question."""
    ran = sqlite().run("show", *arguments)

    assert ran.code == 2
    assert "give a HANDLE, or --user USER" in ran.err
