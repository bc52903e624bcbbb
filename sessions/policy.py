"""Owns the rules: what is to be done at one moment of a session, to the store and to the browser's cookie.

Everything that the rules look at is in `Facts`: some named facts of one session at one moment. `decide` maps facts and
options to a `Plan`; the manager performs the plan; `answer` maps the plan and its outcome to what the response does to
the cookie. All three are pure, so their laws are proved by enumeration (tests/test_policy.py), and the table of the
plans is printed into docs/express.md beside express-session's own rules (index.js: shouldSave, shouldTouch,
shouldSetCookie). `decide` reads the facts in this order:

1. A session that has ended writes nothing; destroyed or unset, it is deleted and its cookie cleared, as `unset` says.
   A request that is discarded writes nothing either; what its verbs have done to the store, the browser is to know.
2. What is to be written: data that the store does not have (create or update), then a change of the cookie or of
   `__meta` alone (update), then the expiry alone (touch).
3. Whether the cookie is sent: always for an id that the browser does not know; for a known id as `rolling`, or a change
   of a session with a cookie that expires, says; and where the cookie's value is renewed, or its answer was lost.
   While values are renewed no cookie of a known id leaves without an update, which finds out which value is present.
"""

from typing import Literal, NamedTuple, TypeAlias

from .errors import NoSession
from .options import SessionOptions
from .renewal import Value

# Words and no Enum: these are compared on every request, and Python 3.11 takes its time to look a member up.
EndReason: TypeAlias = Literal["gone", "closed", "destroyed", "unset", "failed"]
"""Why a session is over: gone (destroyed elsewhere, or expired), closed (it goes on under another id), destroyed or
unset in this request, failed (a verb of this request failed, and nothing more is written)."""

END_MESSAGES: dict[EndReason, str] = {
    "destroyed": "it was destroyed in this request",
    "unset": "it was unset in this request",
    "gone": "it was destroyed or has expired since it was loaded",
    "closed": "it goes on under another id",
    "failed": "a verb of this request has failed",
}
"""Why a session is over, for a person."""


def no_session(end: EndReason) -> NoSession:
    """Return the error of a handler that asks for a session that is over."""
    return NoSession(f"no session: {END_MESSAGES[end]}", is_over=end in ("gone", "closed"))


Change: TypeAlias = Literal["nothing", "create", "update", "touch", "destroy"]
"""What is done to the store."""

CookieAct: TypeAlias = Literal["keep", "send", "clear"]
"""What the response does to the browser's cookie."""

Performed: TypeAlias = Literal["saved", "gone", "closed", "taken", "error"]
"""What became of a plan's change."""


class Facts(NamedTuple):
    """What the rules look at. The comment says when a fact is true."""

    end: EndReason | None  # why the session is over; None while it lives
    value: Value  # what becomes of the cookie's value: see renewal.py
    already_deleted: bool  # an earlier plan of this request has deleted the row
    browser_sent_id: bool  # the request carried an id that we have signed
    known: bool  # the browser has sent this session's very id
    stored: bool  # the session has a row, as far as this request knows
    id_changed: bool  # the id is another than at the start of the request; after a failed verb: the row has moved
    data_changed: bool  # the data differs from what it was at the start of the request
    data_unsaved: bool  # the data differs from what this request knows to be saved
    saved_once: bool  # this request knows data of the session to be saved
    cookie_changed: bool  # an attribute was assigned that the row does not have
    cookie_expires: bool  # the cookie has an expiry; False counts as one, as in Express
    meta_unrecorded: bool  # a member of `__meta` is to be written
    touch_asked: bool  # the handler has called touch()
    touch_due: bool  # so much of the lifetime has passed that a read renews it
    committed: bool  # an earlier plan of this request has been performed
    cookie_can_leave: bool  # the response's head has not left yet
    discarded: bool  # what is not stored yet stays so: a conflict was rejected, or `save_on_error` does not save a 5xx


class Plan(NamedTuple):
    """What is to be done."""

    change: Change
    cookie: CookieAct
    renews: bool
    """Whether the cookie's lifetime starts again."""
    refuses: bool = False
    """Whether it cannot be done: the cookie of a new session cannot leave any more. The error is HeadersSent."""
    new_value: bool = False
    """Whether the cookie gets a new value."""


NOTHING = Plan("nothing", "keep", renews=False)
"""An unchanged request."""


ENDED = Facts(
    end="gone", value="fixed", already_deleted=False, browser_sent_id=False, known=False, stored=False,
    id_changed=False, data_changed=False, data_unsaved=False, saved_once=False, cookie_changed=False,
    cookie_expires=False, meta_unrecorded=False, touch_asked=False, touch_due=False, committed=False,
    cookie_can_leave=True, discarded=False,
)  # fmt: skip
"""The facts of a session that is over, but for its reason."""


def possible(facts: Facts) -> bool:
    """Return True if these facts can be true together. Every decision of the test suite is held against it."""
    if facts.end is not None:  # only the end itself counts, and the row, the request, the head and the answer
        return facts == ENDED._replace(
            end=facts.end,
            already_deleted=facts.already_deleted,
            browser_sent_id=facts.browser_sent_id,
            id_changed=facts.id_changed and facts.end == "failed",
            cookie_can_leave=facts.cookie_can_leave,
            discarded=facts.discarded,
        )
    return (
        not facts.already_deleted
        and (not facts.known or (facts.stored and not facts.id_changed and facts.browser_sent_id))
        and (facts.known or not facts.stored or facts.saved_once)
        and (not facts.saved_once or facts.stored or facts.id_changed)
        and (facts.saved_once or facts.data_unsaved)
        and (not facts.committed or facts.stored or facts.id_changed)
        and (not facts.meta_unrecorded or facts.stored)
        and (not facts.touch_due or facts.stored)
        and (facts.value == "fixed" or facts.known)
    )


def decide(facts: Facts, options: SessionOptions, *, ends: bool = True) -> Plan:
    """Return what the facts ask for at the end of a request, or (`ends` False) before the first bytes of a stream.

    Before the first bytes the stream's changes are written; to renew the expiry alone waits for the end.
    """
    if facts.end is not None:
        return _decide_ended(facts, options)
    if facts.discarded:  # a row that a verb has made, or moved, is the browser's all the same
        sends = facts.stored and not facts.known and facts.cookie_can_leave
        return Plan("nothing", "send", renews=True) if sends else NOTHING
    change = _change(facts, options)
    modified = facts.id_changed or facts.data_changed
    if not facts.known:  # a row that save() has made counts too, or no browser would know it
        sends = options.save_uninitialized or modified or facts.stored
    else:
        sends = (options.rolling and change != "nothing") or (facts.cookie_expires and modified)
        sends = sends or (facts.cookie_changed and options.conflict != "overwrite")  # the browser is to know it too
        if facts.value != "fixed":
            sends = (sends or facts.value in ("due", "lost")) and facts.value != "quiet" and facts.cookie_can_leave
            if sends:  # by its compare-and-set the value that leaves is the present one
                new_value = facts.value in ("due", "soon")
                return Plan("update", "send", renews=True, new_value=new_value)
    if not facts.cookie_can_leave:
        sends = False
        if change == "create":
            return Plan("nothing", "keep", renews=False, refuses=True)
    waits = change == "touch" and not ends
    if not sends and (waits or change == "nothing"):
        return NOTHING
    if waits and options.conflict == "overwrite":
        change = "nothing"  # Express sends the cookie on trust; ours is sent when the touch is confirmed
    return Plan(change, "send" if sends else "keep", renews=True)


def _change(facts: Facts, options: SessionOptions) -> Change:
    """Return what a living session asks of the store."""
    unused = not facts.known and not facts.saved_once and not options.save_uninitialized
    if unused:
        save = facts.id_changed or facts.data_changed
    else:
        # What a verb has stored under a new id is not written again, but for Express, which does not remember it.
        again = options.conflict == "overwrite" and facts.id_changed
        save = facts.data_unsaved or again or (facts.id_changed and not facts.stored)
    if save:
        return "update" if facts.stored else "create"
    if not facts.stored:
        return "nothing"
    forgets = (
        options.conflict == "overwrite" and not facts.known and not facts.committed
    )  # Express, after a first save()
    if facts.meta_unrecorded or (facts.cookie_changed and not forgets):
        return "update"
    if not facts.known or facts.committed:
        return "nothing"
    return "touch" if facts.touch_asked or facts.touch_due else "nothing"


def _decide_ended(facts: Facts, options: SessionOptions) -> Plan:
    """Return what is left to do for a session that is over."""
    if facts.end in ("gone", "closed"):
        return NOTHING
    if facts.end == "failed" and options.conflict != "overwrite":  # the id that the browser has leads nowhere
        return NOTHING._replace(cookie="send" if facts.id_changed and facts.cookie_can_leave else "keep")
    if facts.discarded and facts.end != "destroyed":
        return NOTHING
    clears = facts.end == "destroyed" or (facts.end == "unset" and options.unset == "destroy")
    clears = clears and options.clear_cookie and facts.browser_sent_id and facts.cookie_can_leave
    deletes = options.unset == "destroy" and not facts.already_deleted and not facts.discarded
    return Plan("destroy" if deletes else "nothing", "clear" if clears else "keep", renews=False)


def answer(plan: Plan, outcome: Performed, value: Value = "fixed") -> CookieAct:
    """Return what the response does to the cookie: what was planned, if the change was performed or there was none.

    `value` is what the performing has found of the cookie's value: a newer one may be in use meanwhile.
    """
    if value == "quiet" and plan.cookie == "send":
        return "keep"
    return plan.cookie if outcome == "saved" or plan.change == "nothing" else "keep"
