"""Owns the mutants of the cheat sheets, of RFC 6265bis and of NIST SP 800-63B, where no row of ASVS says the same."""

import re
from typing import Any

from ..mutant import always, row_table, without
from .broken_options import default, together

MUTANTS, breaks = row_table()

COOKIES_OUT, TOGETHER = "trips/test_cookies_out.py", "properties/test_options_together.py"
SEVERAL, OPTIONS = "trips/test_several_cookies.py", "sessions.options:SessionOptions"
LIFE = "trips/test_log.py::test_a_session_s_life_is_logged_by_fingerprint"


# ---------------------------------------------------------------- cheat sheets, and NIST where it says the same


@breaks("CS-name", "the cookie has Express's name", "server/test_server_config.py::test_the_production_block",
        f"{OPTIONS}.from_mapping")  # fmt: skip
def _(original: Any) -> Any:
    def from_mapping(cls: Any, mapping: Any) -> Any:
        return original.__func__(cls, {name: value for name, value in mapping.items() if name != "name"})

    return classmethod(from_mapping)


@breaks("CS-strict", "an unknown id is adopted", "trips/test_ids.py::test_promise_4_an_unknown_id_is_not_adopted",
        "sessions.manager:SessionManager.load")  # fmt: skip
def _(original: Any) -> Any:
    async def load(self: Any, sids: Any, generate: Any, *tags: Any) -> Any:
        state = await original(self, sids, generate, *tags)
        if state.base is None and state.end is None:
            state.id = state.row.id = state._origin_id = sids[0]
            state.request_sid = None  # so that it begins as any new session does
        return state

    return load


@breaks(
    "CS-untrusted",
    "what is malformed costs a store call",
    "trips/test_cookies_in.py::test_promise_4_junk_is_a_fresh_visitor"
    " trips/test_sizes.py::test_a_header_full_of_one_thing_is_a_fresh_visitor",
    "sessions.formats.signing:Signer.unsign",
)
def _(original: Any) -> Any:
    return lambda self, value: original(self, value) or value[2:].rpartition(".")[0] or None


breaks("CS-transport; channel", "a Secure cookie is sent over plain HTTP",
       "trips/test_secure.py::test_a_secure_cookie_goes_where_the_client_has_tls",
       "sessions.web.mixin:SessionMixin.is_secure")(always(value=True))  # fmt: skip
breaks("CS-persistent; persistence", "the cookie outlives the browser by default",
       "handlers/test_page.py::TestShows::test_a_session_without_max_age",
       "sessions.options:CookieOptions.__init__")(default(max_age=86_400_000))  # fmt: skip


@breaks("CS-end; end", "a sign-out leaves the row", "trips/test_verbs.py::test_destroy_ends_the_session_at_once",
        "sessions.writes:Writes.end")  # fmt: skip
def _(_original: Any) -> Any:
    async def end(*_: Any) -> None:
        pass

    return end


breaks("16.2.5; CS-log", "an event carries the id", LIFE, "sessions.observe.reporter:fingerprint")(
    lambda _: lambda sid: sid
)
breaks("LV-events", "a renewal is no event", LIFE, "sessions.observe:Reporter.note")(without("session_renewed"))


breaks("CS-dupe", "a second living session is no event", f"{SEVERAL}::test_two_living_sessions_are_an_event",
       "sessions.observe:Reporter.note")(without("session_ambiguous"))  # fmt: skip


@breaks("CS-dupe", "a sign-out leaves the browser's other sessions",
        f"{SEVERAL}::test_a_sign_out_ends_every_session_of_the_browser", "sessions.writes:Writes.end")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self, row, _others: original(self, row, ())


# ---------------------------------------------------------------- RFC 6265bis and CHIPS


@breaks("no nameless cookie", "a name may be empty", "test_options.py::TestWrongValues::test_an_option_is_refused",
        "sessions.validation:_TOKEN")  # fmt: skip
def _(original: Any) -> Any:
    return re.compile(f"(?:{original.pattern})?")


breaks("one Set-Cookie of a name", "a handler's own stays",
       f"{COOKIES_OUT}::test_of_the_sessions_name_only_ours_is_sent",
       "sessions.web.headers:_remove_own")(always(None))  # fmt: skip


@breaks("Set-Cookie is never folded", "all are one header",
        f"{COOKIES_OUT}::test_a_handlers_own_cookies_stand_beside_ours", "sessions.web.headers:add_id")  # fmt: skip
def _(original: Any) -> Any:
    def add_id(headers: Any, *rest: Any, by_header: bool) -> None:
        original(headers, *rest, by_header=by_header)
        headers["Set-Cookie"] = ", ".join(headers.get_list("Set-Cookie"))

    return add_id


@breaks(
    "__Secure- and __Host-, also where the cookie is removed; Partitioned (CHIPS)",
    "the removal has attributes of its own",
    f"{COOKIES_OUT}::test_the_removal_is_that_of_this_sessions_own_cookie",
    "sessions.stored_cookie:StoredCookie.clearing",
)
def _(_original: Any) -> Any:
    return lambda _self, name: f"{name}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@breaks("prefixes in any letter case", "only __Host- itself is looked at",
        f"{TOGETHER}::test_a_host_prefix_needs_the_root_path_and_no_domain",
        f"{OPTIONS}._check_together")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self, cookie: original(self, cookie) if self.name.startswith("__Host-") else None


breaks("an attribute up to 1024 bytes", "it may be a byte longer",
       "test_options.py::test_an_attribute_that_browsers_pass_over_is_refused",
       "sessions.validation:ATTRIBUTE_BYTES")(lambda size: size + 1)  # fmt: skip
breaks("400 days at most", "nobody is warned of more",
       "test_options.py::TestWarnings::test_a_doubtful_option_is_logged",
       "sessions.validation:BROWSER_MAX_AGE")(lambda days: 2 * days)  # fmt: skip


@breaks("a cookie may be evicted at any time", "who has no cookie has no session",
        "trips/test_no_session.py::test_a_fresh_visitor_has_one", "sessions.web.request:RequestSession.load")  # fmt: skip
def _(original: Any) -> Any:
    def load(self: Any, handler: Any) -> Any:
        loading = original(self, handler)
        if not self._sent[0]:
            self.missing = "the browser has sent no cookie"
        return loading

    return load


breaks("__Http- and __Host-Http-", "they need no HttpOnly", f"{TOGETHER}::test_an_http_prefix_needs_http_only",
       f"{OPTIONS}._check_together")(together(http_only=True))  # fmt: skip
breaks("Partitioned (CHIPS)", "it needs no Secure", f"{TOGETHER}::test_partitioned_needs_secure",
       f"{OPTIONS}._check_together")(together(partitioned=False))  # fmt: skip
