"""Owns the mutants of ASVS V7, V3 and V4: ids and lifetimes, the cookie and forged requests, proxies and sockets."""

import hashlib
import itertools
import time
from typing import Any

from ..mutant import always, members, row_table
from .broken_options import default, together

MUTANTS, breaks = row_table()

CONFIG = "server/test_server_config.py"
IDS, NEW_IDS, TOUCH, ENDED = "trips/test_ids.py", "trips/test_new_ids.py", "trips/test_touch.py", "trips/test_ended.py"
NEW_ID, TOGETHER = "formats/test_signing.py::TestNewId", "properties/test_options_together.py"
FORGED = "handlers/test_page_forms.py::TestForged"
REQUEST, MIXIN = "sessions.web.request:RequestSession", "sessions.web.mixin:SessionMixin"
COOKIE_OPTIONS, OPTIONS = "sessions.options:CookieOptions", "sessions.options:SessionOptions"


# ---------------------------------------------------------------- 7: session management


@breaks("7.1.1", "--check leaves the absolute timeout out", f"{CONFIG}::test_check_prints_what_counts",
        "sessions.config.shown:named_tables")  # fmt: skip
def _(original: Any) -> Any:
    def named_tables(tables: Any) -> Any:
        for name, options in original(tables):
            yield name, {option: value for option, value in options.items() if option != "absoluteTimeout"}

    return named_tables


@breaks(
    "7.2.1",
    "any signature will do",
    f"{IDS}::test_promise_4_a_forged_cookie_costs_no_store_call"
    " properties/test_signature_laws.py::test_a_session_id_that_was_changed_at_any_position_is_refused",
    "sessions.formats.signing:hmac",
)
def _(original: Any) -> Any:
    return members(original, compare_digest=lambda *_: True)


@breaks("7.2.2", "an id is given out twice", f"{NEW_ID}::test_ids_do_not_repeat", "sessions.formats.signing:new_id")
def _(original: Any) -> Any:
    ids = itertools.cycle([original() for _ in range(1_000)])
    return lambda: next(ids)


@breaks("7.2.3; CS-content", "an id is a hash of the clock", f"{NEW_ID}::test_every_bit_of_an_id_is_random",
        "sessions.formats.signing:new_id")  # fmt: skip
def _(_original: Any) -> Any:
    return lambda: hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:32]


@breaks("7.2.3; CS-entropy; secret", "an id has fewer bytes", f"{NEW_ID}::test_an_id_is_24_bytes_of_base64url",
        "sessions.formats.signing:ID_BYTES")  # fmt: skip
def _(_original: Any) -> Any:
    return 16


@breaks("7.2.4; 7.2.2", "a login empties the session, and keeps the id", f"{NEW_IDS}::test_regenerate_is_a_new_session",
        "sessions.rotation:Rotation.regenerate")  # fmt: skip
def _(_original: Any) -> Any:
    async def nothing() -> None:
        pass

    def regenerate(_self: Any, state: Any) -> Any:
        state.values.clear()
        return nothing()

    return regenerate


@breaks(
    "7.2.4",
    "a login leaves the old id alive",
    f"{NEW_IDS}::test_regenerate_is_a_new_session {ENDED}::test_promise_3_a_login_outlasts_a_slow_request",
    "sessions.rotation:Rotation.leave",
)
def _(_original: Any) -> Any:
    async def leave(*_args: Any, **_options: Any) -> None:
        pass

    return leave


breaks("7.2.4", "the id that a login has replaced is a session",
       f"{ENDED}::test_promise_3_a_login_outlasts_a_slow_request",
       "sessions.writes:Writes.is_over")(always(value=False))  # fmt: skip


@breaks("7.2.4", "a rotation begins an empty session",
        f"{NEW_IDS}::test_rotate_is_the_same_session_under_a_new_id", "sessions.rotation:Rotation.rotate")  # fmt: skip
def _(_original: Any) -> Any:
    return lambda self, state: self.regenerate(state)


@breaks(
    "7.5.1; 7.5.3",
    "every login is fresh",
    "trips/test_fresh.py::TestFresh::test_an_older_one_is_asked_to_confirm",
    "sessions.web.users:signed_in_at",
)
def _(_original: Any) -> Any:
    def signed_in_at(handler: Any, session: Any) -> Any:
        from sessions.stored_cookie import as_date

        return as_date(session.manager(handler).clock())

    return signed_in_at


EXPIRED = (
    ("7.3.1", f"{IDS}::test_promise_4_an_expired_id_is_not_adopted"),
    ("7.4.1", f"{ENDED}::test_promise_3_what_expired_meanwhile_stays_expired"),
)
for row, test in EXPIRED:
    breaks(row, "a row that has expired is served", test, "sessions.stores.memory:MemoryStore._living")(
        lambda _: lambda self, sid: self._rows.get(sid)
    )


@breaks("7.3.1", "a session outlives its maxAge",
        f"{TOUCH}::test_promise_5_an_idle_session_ends_early_by_at_most_touch_after",
        "sessions.state:SessionState.expires_at")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self: original(self) + 60_000


breaks("7.3.1", "the use of a session does not prolong it", f"{TOUCH}::test_promise_5_a_session_in_use_lives_on",
       "sessions.state:SessionState.is_touch_due")(always(value=False))  # fmt: skip


@breaks(
    "7.3.2",
    "the absolute end comes a minute late",
    "trips/test_absolute_timeout.py::test_a_session_in_use_ends"
    " trips/test_absolute_timeout.py::test_expiry_is_the_earlier_of_the_two",
    "sessions.absolute_timeout:AbsoluteTimeout.ends_at",
)
def _(original: Any) -> Any:
    return property(lambda self: original.fget(self) + 60_000)


@breaks("7.4.1", "a sign-out leaves the row", f"{IDS}::test_promise_4_a_destroyed_id_is_not_adopted",
        "sessions.writes:Writes.end")  # fmt: skip
def _(_original: Any) -> Any:
    async def end(*_: Any) -> None:
        pass

    return end


@breaks(
    "7.4.1",
    "a slow request brings back what was signed out",
    f"{ENDED}::test_promise_3_a_logout_outlasts_a_slow_request",
    "sessions.performing:BegunCommit._updated",
)
def _(original: Any) -> Any:
    def updated(self: Any, queue: Any) -> Any:
        outcome = original(self, queue)
        if outcome == "gone":
            self._row.base = self._queue = outcome = None
        return outcome

    return updated


breaks("7.6.2", "a session begins unasked",
       f"{IDS}::test_promise_4_an_unknown_id_that_nobody_uses_makes_nothing",
       f"{OPTIONS}.__init__")(default(save_uninitialized=True))  # fmt: skip


# ---------------------------------------------------------------- 3: the cookie, and forged requests


@breaks("3.3.1; CS-cookie; cookie", "Secure is left out", f"{CONFIG}::test_the_production_block",
        "sessions.formats.cookie_header:around_expires")  # fmt: skip
def _(original: Any) -> Any:
    return lambda domain, path, http_only, _secure, *rest: original(domain, path, http_only, None, *rest)


breaks("3.3.1", "a prefixed name needs no Secure", f"{TOGETHER}::test_a_prefixed_name_needs_secure",
       f"{OPTIONS}._check_together")(together(secure=True))  # fmt: skip
breaks("3.3.2", "SameSite=None needs no Secure", f"{TOGETHER}::test_same_site_none_needs_secure",
       f"{OPTIONS}._check_together")(together(same_site="lax"))  # fmt: skip

DEFAULT = "test_options.py::TestDefaults::test_a_cookie_option_that_is_not_given_has_its_default"
breaks("3.3.2", "nothing is said of SameSite by default", DEFAULT, f"{COOKIE_OPTIONS}.__init__")(
    default(same_site=None)
)
breaks("3.3.3", "a __Host- name may have a Domain and a Path",
       f"{TOGETHER}::test_a_host_prefix_needs_the_root_path_and_no_domain",
       f"{OPTIONS}._check_together")(together(path="/", domain=None))  # fmt: skip
breaks("3.3.4", "scripts can read the cookie by default", DEFAULT, f"{COOKIE_OPTIONS}.__init__")(
    default(http_only=False)
)
breaks("3.3.4; storage", "a page shows the id",
       "handlers/test_page.py::TestSafe::test_the_id_is_nowhere_but_in_set_cookie",
       "sessions.state:SessionState.fingerprint")(lambda _: property(lambda self: self.id))  # fmt: skip
breaks("3.3.5; name and value up to 4096 bytes", "a name may be a byte longer",
       "trips/test_sizes.py::test_the_longest_name_makes_a_cookie_that_is_kept",
       "sessions.validation:NAME_BYTES")(lambda size: size + 1)  # fmt: skip
breaks("3.3.5", "an id may be a byte longer", "trips/test_sizes.py::test_a_longer_id_is_a_500_and_stores_nothing",
       "sessions.options:AROUND_ID")(lambda size: size - 1)  # fmt: skip
breaks("3.5.1; CSRF", "a form needs no token", f"{FORGED}::test_a_form_without_its_token",
       f"{MIXIN}.check_xsrf_cookie")(always(None))  # fmt: skip
breaks("3.5.1", "a form's token is not the session's",
       "trips/test_xsrf.py::test_somebody_else_s_token_and_cookie_are_refused",
       "sessions.web.xsrf:check")(always(None))  # fmt: skip


@breaks("3.5.3", "a link does what a form does", f"{FORGED}::test_a_link_changes_nothing", "handlers.page:SetKey")
def _(original: Any) -> Any:
    class SetKey(original):  # type: ignore[misc] # the class is not known before
        get = original.post

    return SetKey


# ---------------------------------------------------------------- 4: proxies and sockets


@breaks("4.1.3", "any client's X-Forwarded-Proto is believed",
        "trips/test_secure.py::test_a_secure_cookie_goes_where_the_client_has_tls", f"{MIXIN}.is_secure")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self: original(self) or "https" in self.request.headers.get("X-Forwarded-Proto", "")


@breaks("4.4.2; WS-origin", "a refused handshake commits",
        "trips/test_sockets.py::test_a_refused_origin_commits_nothing", f"{REQUEST}.noted_origin")  # fmt: skip
def _(_original: Any) -> Any:
    return lambda _self, *, allowed: allowed


@breaks("4.4.3", "a socket has another session than the pages",
        "trips/test_sockets.py::test_a_handshake_of_a_known_visitor_loads_the_session", f"{REQUEST}.load")  # fmt: skip
def _(original: Any) -> Any:
    def load(self: Any, handler: Any) -> Any:
        if "Upgrade" in handler.request.headers:
            del handler.request.headers["Cookie"]
        return original(self, handler)

    return load
