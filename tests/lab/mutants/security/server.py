"""Owns the mutants of the other rows of ASVS: caches, parallel requests, logs, errors."""

import re
from secrets import token_hex
from typing import Any

from ..mutant import always, row_table, without

MUTANTS, breaks = row_table()

IDS, COOKIES_OUT = "trips/test_ids.py", "trips/test_cookies_out.py"
REQUEST, MIXIN = "sessions.web.request:RequestSession", "sessions.web.mixin:SessionMixin"


# ---------------------------------------------------------------- 8: what is read


@breaks(
    "8.3.2",
    "a store answers from memory",
    "stores/test_contract.py::TestSQLite::test_what_was_answered_is_seen",
    "sessions.stores.base:StoreBase.get",
)
def _(original: Any) -> Any:
    async def get(self: Any, sid: str) -> Any:
        known = self.__dict__.setdefault("known", {})
        if sid not in known:
            known[sid] = await original(self, sid)
        return known[sid]

    return get


# ---------------------------------------------------------------- 14: where an id and a page may be kept


ALONE = f"{IDS}::test_an_id_is_read_from_the_cookie_alone"


@breaks("14.2.1", "an id is read from the query as well", ALONE, f"{REQUEST}.load")
def _(original: Any) -> Any:
    def load(self: Any, handler: Any) -> Any:
        given = handler.get_query_argument("connect.sid", None)
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given.replace(':', '%3A')}"
        return original(self, handler)

    return load


@breaks("14.2.1", "an id is read from another header as well", ALONE, f"{REQUEST}.load")
def _(original: Any) -> Any:
    def load(self: Any, handler: Any) -> Any:
        given = handler.request.headers.get("X-Session-Id")
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given}"
        return original(self, handler)

    return load


breaks("14.2.2; CS-cache", "an answer with the cookie may be stored",
       f"{COOKIES_OUT}::test_an_answer_with_the_cookie_is_not_to_be_stored",
       "sessions.web.headers:_keep_out_of_shared_caches")(always(None))  # fmt: skip
breaks("14.2.2", "Vary does not name the cookie",
       f"{COOKIES_OUT}::test_vary_is_appended handlers/test_page.py::TestSafe::test_what_is_private_is_not_kept",
       "sessions.web.headers:vary")(always(None))  # fmt: skip


@breaks("14.2.7", "the server does not sweep", "server/test_security.py::test_the_server_sweeps",
        "sessions.sweeper:Sweeper.__aenter__")  # fmt: skip
def _(_original: Any) -> Any:
    async def enter(self: Any) -> Any:
        return self

    return enter


@breaks("14.2.7", "a sweep deletes nothing", "test_sweeper.py::TestWork::test_every_interval_it_deletes_what_has_expired",
        "sessions.sweeper:Sweeper.sweep")  # fmt: skip
def _(_original: Any) -> Any:
    async def sweep(_self: Any) -> int:
        return 0

    return sweep


@breaks("14.3.1; CS-end", "a sign-out leaves the browser's cookie",
        f"{COOKIES_OUT}::test_destroy_removes_the_browsers_cookie", "sessions.policy:_decide_ended")  # fmt: skip
def _(original: Any) -> Any:
    return lambda facts, options: original(facts, options)._replace(cookie="keep")


# ---------------------------------------------------------------- 15, 16, 1: parallel requests, logs, errors


DUPLICATES = "trips/test_cookies_in.py"


@breaks("15.3.7; CS-dupe; no reliance on the order of duplicates", "only the first of duplicates is tried",
        f"{DUPLICATES}::test_of_four_duplicates_the_valid_one_counts", "sessions.web.sent:MAX_CANDIDATES")  # fmt: skip
def _(_original: Any) -> Any:
    return 1


breaks("15.3.7", "every duplicate is tried", f"{DUPLICATES}::test_a_seventeenth_duplicate_is_not_tried",
       "sessions.web.sent:MAX_CANDIDATES")(lambda _: 1_000)  # fmt: skip
breaks("15.3.7; CS-dupe", "only the first verified id is asked for",
       "trips/test_several_cookies.py::test_an_id_without_its_session_locks_nobody_out",
       "sessions.web.sent:MAX_SESSIONS")(lambda _: 1)  # fmt: skip


@breaks("15.3.7", "of two Cookie headers one is read", f"{DUPLICATES}::test_two_cookie_headers_are_both_read",
        "sessions.formats.cookie_header:values")  # fmt: skip
def _(original: Any) -> Any:
    return lambda headers, name: original(headers[:1], name)


@breaks("15.4.1", "a save is a blind set", "trips/test_parallel.py::test_promise_2_across_two_processes",
        "sessions.writes:Writes.ask")  # fmt: skip
def _(_original: Any) -> Any:
    async def ask(self: Any, row: Any, record: Any) -> Any:
        from sessions.store import Outcome, Update, overwriting

        store: Any = overwriting(self._store)
        made = await store.set(row.id, record)
        return made if row.base is None else Update(Outcome.SAVED, made)

    return ask


@breaks("15.4.2", "an update in memory compares nothing",
        "stores/test_contract.py::TestMemory::test_no_increment_is_lost",
        "sessions.stores.memory:MemoryStore.update")  # fmt: skip
def _(original: Any) -> Any:
    async def update(self: Any, sid: str, record: Any, expected: Any) -> Any:
        return await original(self, sid, record, self._rows.get(sid, expected))

    return update


@breaks("16.2.5", "a refused value is in the message",
        "trips/test_values.py::test_what_json_cannot_hold_is_a_500_that_names_the_place",
        "sessions.formats.json_text:_look_at")  # fmt: skip
def _(original: Any) -> Any:
    def look_at(value: Any) -> None:
        try:
            original(value)
        except Exception as refused:
            refused.args = (f"{refused}: {value!r}",)
            raise

    return look_at


breaks("16.2.5", "a cookie that nobody has signed is in the log", "server/test_server_secret.py::test_no_log_shows_it",
       "sessions.observe.reporter:fingerprint")(lambda _: lambda value: value)  # fmt: skip
breaks("16.2.5", "any text of a header names a request", "server/test_log.py::test_a_name_that_is_none_is_not_quoted",
       "handlers.log:REQUEST_ID")(lambda _: re.compile(".*"))  # fmt: skip
breaks("16.3.3", "every cookie that nobody has signed is a line of the log",
       "trips/test_log.py::test_nobody_floods_the_log_with_cookies",
       "sessions.log_limit:LogLimit.takes")(always(value=True))  # fmt: skip
breaks("16.2.5", "a header or a form that is refused is in the log",
       "server/test_log.py::test_nothing_that_a_visitor_has_sent_is_quoted",
       "sessions.web.tornado_log:unquoted")(always(value=True))  # fmt: skip


@breaks("16.2.5", "a user is in a label of a metric",
        "trips/test_observers.py::TestPrometheus::test_no_label_names_a_user_or_a_session",
        "sessions.observe.prometheus:PrometheusObserver.__call__")  # fmt: skip
def _(original: Any) -> Any:
    def call(self: Any, event: Any) -> None:
        original(self, event)
        if getattr(event, "user", None) is not None:
            self._store(event.name, event.user)(0)

    return call


breaks("16.3.3; CS-guess", "a tampered cookie is not logged", "trips/test_log.py::test_tampering_is_logged",
       "sessions.observe:Reporter.note")(without("session_tampered"))  # fmt: skip


breaks("16.3.3; CS-strict", "an id that has ended is not logged",
       "trips/test_log.py::test_an_id_that_has_ended_is_logged",
       "sessions.observe:Reporter.note")(without("session_use_after_expire"))  # fmt: skip


@breaks("16.3.3", "each line has an id of its own",
        "server/test_log.py::test_the_lines_of_a_request_share_its_id", "handlers.log:_tied")  # fmt: skip
def _(original: Any) -> Any:
    def tied(record: Any) -> bool:
        original(record)
        record.request = token_hex(8)
        return True

    return tied


breaks("16.3.4", "a failed commit is not logged",
       "trips/test_failures.py::test_a_failed_commit_is_logged_with_its_cause",
       f"{MIXIN}.log_exception")(always(None))  # fmt: skip


@breaks("16.5.1; 13.4.2", "an error page shows the traceback",
        "handlers/test_errors.py::test_an_error_says_nothing_of_the_inside",
        "handlers.base:BaseHandler.write_error")  # fmt: skip
def _(_original: Any) -> Any:
    def write_error(self: Any, _status: int, **options: Any) -> None:
        import traceback

        self.finish("".join(traceback.format_exception(*options["exc_info"])))

    return write_error


@breaks("16.5.3", "who cannot be loaded is anonymous",
        "trips/test_no_session.py::test_a_store_that_is_down_is_a_503_by_default",
        "sessions.manager:SessionManager.load")  # fmt: skip
def _(original: Any) -> Any:
    async def load(self: Any, sids: Any, generate: Any, *tags: Any) -> Any:
        from sessions import StoreUnavailable

        try:
            return await original(self, sids, generate, *tags)
        except StoreUnavailable:
            return self.new(generate)

    return load


@breaks("16.5.3", "a failed commit is answered 200",
        "trips/test_failures.py::test_promise_1_a_commit_that_fails_is_a_5xx_without_cookie",
        "sessions.web.held_response:HeldResponse._fail")  # fmt: skip
def _(_original: Any) -> Any:
    def fail(_self: Any, handler: Any, _error: Any) -> None:
        from tornado.web import RequestHandler

        RequestHandler.finish(handler)

    return fail


@breaks("1.5.2", "a row that is no session is an empty one",
        "trips/test_values.py::test_a_corrupt_row_is_a_500_and_stays", "sessions.state:SessionState.loaded")  # fmt: skip
def _(original: Any) -> Any:
    def loaded(cls: Any, options: Any, clock: Any, generate: Any, sid: str, record: Any) -> Any:
        from sessions import CorruptSession

        try:
            return original.__func__(cls, options, clock, generate, sid, record)
        except CorruptSession:
            return cls.new(options, clock, generate, sid)

    return classmethod(loaded)
