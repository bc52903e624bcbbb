"""Owns the mutants of the other rows of ASVS: secrets, limits, caches, parallel requests, logs, errors."""

import random
from pathlib import Path
from secrets import token_hex
from typing import Any

from ..mutant import always, members, row_table

MUTANTS, breaks = row_table()

IDS, SIGNING, COOKIES_OUT = "trips/test_ids.py", "formats/test_signing.py", "trips/test_cookies_out.py"
SECRET, SECRETS = "test_config_secret.py", "test_config_secrets.py"
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


# ---------------------------------------------------------------- 11, 13: secrets, hashes, limits


@breaks("11.2.2; 13.3.4", "the last secret signs",
        f"{IDS}::test_promise_4_a_rotated_secret_verifies_and_no_longer_signs",
        "sessions.formats.signing:Signer.sign")  # fmt: skip
def _(original: Any) -> Any:
    def sign(self: Any, sid: str) -> Any:
        last = object.__new__(type(self))
        last._keys = self._keys[-1:]
        return original(last, sid)

    return sign


breaks("13.3.4", "SIGHUP changes no secret",
       "server/test_reload.py::test_new_secrets_count_and_no_request_is_lost",
       "sessions.manager:SessionManager.use_secrets")(always(None))  # fmt: skip
breaks("11.2.3", "a short secret serves everybody",
       "server/test_server_secret.py::test_a_weak_one_is_refused_where_others_reach_it",
       "sessions.config.secret:SECRET_BYTES")(lambda _: 4)  # fmt: skip


@breaks("11.2.4", "a wrong first character ends the comparison",
        f"{SIGNING}::TestUnsign::test_no_early_exit_tells_how_much_of_a_signature_is_right",
        "sessions.formats.signing:Signer.unsign")  # fmt: skip
def _(original: Any) -> Any:
    def unsign(self: Any, value: str) -> Any:
        sid, _, signature = value.removeprefix("s:").rpartition(".")
        right = [self.__class__.__new__(self.__class__) for _ in self._keys]
        for signer, key in zip(right, self._keys, strict=True):
            signer._keys = [key]
        try:
            begins = {signer.sign(sid).rpartition(".")[2][:1] for signer in right}
        except UnicodeEncodeError:
            return None
        return original(self, value) if signature[:1] in begins else None

    return unsign


@breaks("11.4.1", "MD5 signs", f"{SIGNING}::TestSign::test_an_id_is_signed_as_in_node",
        "sessions.formats.signing:hashlib")  # fmt: skip
def _(original: Any) -> Any:
    return members(original, sha256=original.md5)


@breaks("11.5.1; 7.2.3", "ids can be predicted", f"{SIGNING}::TestNewId::test_an_id_is_no_function_of_the_time",
        "sessions.formats.signing:secrets")  # fmt: skip
def _(original: Any) -> Any:
    return members(original, token_urlsafe=lambda size: random.randbytes(size).hex()[:32])


@breaks("13.1.3", "a store may take any time",
        "trips/test_parallel.py::test_a_conflict_that_never_ends_meets_the_deadline",
        "sessions.timeout:Deadline.keep")  # fmt: skip
def _(_original: Any) -> Any:
    async def keep(_self: Any, awaitable: Any) -> Any:
        return await awaitable

    return keep


@breaks("13.1.3", "a locked file is not waited for",
        "stores/test_sqlite_trouble.py::TestLocked::test_a_short_lock_is_waited_for",
        "sessions.stores.sqlite.file:OpenFile.__init__")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self, settings, *rest: original(self, settings._replace(busy_timeout=0), *rest)


@breaks("13.3.1", "the configuration's secret comes before the environment's",
        f"{SECRET}::TestGiven::test_the_environments_comes_first", "sessions.config.secret:chosen_secret")  # fmt: skip
def _(original: Any) -> Any:
    return lambda session: session.get("secret") or original(session)


@breaks("13.3.1", "others can read the secret that is made", f"{SECRET}::TestMade::test_it_lies_beside_the_store",
        "sessions.config.secret:tempfile")  # fmt: skip
def _(original: Any) -> Any:
    def named(*args: Any, **options: Any) -> Any:
        made = original.NamedTemporaryFile(*args, **options)
        Path(made.name).chmod(0o644)
        return made

    return members(original, NamedTemporaryFile=named)


breaks("13.3.1", "nobody is warned of a secret that others can read",
       f"{SECRETS}::test_a_secret_that_others_can_read_is_warned_of",
       "sessions.config.secret:_warn_of_others")(always(None))  # fmt: skip


@breaks("13.4.2", "the server has a debug mode", "server/test_security.py::test_the_server_has_no_debug_mode",
        "server:make_app")  # fmt: skip
def _(original: Any) -> Any:
    def make_app(manager: Any) -> Any:
        app = original(manager)
        app.settings["serve_traceback"] = True
        return app

    return make_app


# ---------------------------------------------------------------- 14: where an id and a page may be kept


ALONE = f"{IDS}::test_an_id_is_read_from_the_cookie_alone"


@breaks("14.2.1", "an id is read from the query as well", ALONE, f"{REQUEST}.load")
def _(original: Any) -> Any:
    async def load(self: Any, handler: Any) -> None:
        given = handler.get_query_argument("connect.sid", None)
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given.replace(':', '%3A')}"
        await original(self, handler)

    return load


@breaks("14.2.1", "an id is read from another header as well", ALONE, f"{REQUEST}.load")
def _(original: Any) -> Any:
    async def load(self: Any, handler: Any) -> None:
        given = handler.request.headers.get("X-Session-Id")
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given}"
        await original(self, handler)

    return load


breaks("14.2.2; CS-cache", "an answer with the cookie may be stored",
       f"{COOKIES_OUT}::test_an_answer_with_the_cookie_is_not_to_be_stored",
       "sessions.web.headers:_keep_out_of_shared_caches")(always(None))  # fmt: skip
breaks("14.2.2", "Vary does not name the cookie",
       f"{COOKIES_OUT}::test_vary_is_appended handlers/test_page.py::TestSafe::test_what_is_private_is_not_kept",
       "sessions.web.headers:vary_by_cookie")(always(None))  # fmt: skip


@breaks("14.2.7", "the server does not sweep", "server/test_security.py::test_the_server_sweeps",
        "sessions.sweeper:Sweeper.__aenter__")  # fmt: skip
def _(_original: Any) -> Any:
    async def enter(self: Any) -> Any:
        return self

    return enter


@breaks("14.3.1; CS-end", "a sign-out leaves the browser's cookie",
        f"{COOKIES_OUT}::test_destroy_removes_the_browsers_cookie", "sessions.policy:_decide_ended")  # fmt: skip
def _(original: Any) -> Any:
    return lambda facts, options: original(facts, options)._replace(cookie="keep")


# ---------------------------------------------------------------- 15, 16, 1: parallel requests, logs, errors


DUPLICATES = "trips/test_cookies_in.py"


@breaks("15.3.7; CS-dupe; no reliance on the order of duplicates", "only the first of duplicates is tried",
        f"{DUPLICATES}::test_of_four_duplicates_the_valid_one_counts", "sessions.web.request:MAX_CANDIDATES")  # fmt: skip
def _(_original: Any) -> Any:
    return 1


breaks("15.3.7", "every duplicate is tried", f"{DUPLICATES}::test_a_seventeenth_duplicate_is_not_tried",
       "sessions.web.request:MAX_CANDIDATES")(lambda _: 1_000)  # fmt: skip
breaks("15.3.7; CS-dupe", "only the first verified id is asked for",
       "trips/test_several_cookies.py::test_an_id_whose_session_has_gone_locks_nobody_out",
       "sessions.web.request:MAX_SESSIONS")(lambda _: 1)  # fmt: skip


@breaks("15.3.7", "of two Cookie headers one is read", f"{DUPLICATES}::test_two_cookie_headers_are_both_read",
        "sessions.formats.cookie_header:values")  # fmt: skip
def _(original: Any) -> Any:
    return lambda headers, name: original(headers[:1], name)


@breaks("15.4.1", "a save is a blind set", "trips/test_parallel.py::test_promise_2_across_two_processes",
        "sessions.writes:Writes.write")  # fmt: skip
def _(_original: Any) -> Any:
    async def write(self: Any, state: Any, record: Any, row: Any) -> str:
        from sessions.store import overwriting

        store: Any = overwriting(self._store)
        state.saved(record, await store.set(row.id, record), row)
        return "saved"

    return write


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


breaks("16.2.5", "a header or a form that is refused is in the log",
       "server/test_log.py::test_nothing_that_a_visitor_has_sent_is_quoted",
       "sessions.web.tornado_log:unquoted")(always(value=True))  # fmt: skip


@breaks("16.3.3; CS-guess", "a tampered cookie is not logged", "trips/test_log.py::test_tampering_is_told",
        "sessions.observe:note")  # fmt: skip
def _(original: Any) -> Any:
    return lambda event, *rest: None if event == "session_tampered" else original(event, *rest)


@breaks("16.3.3; CS-strict", "an id that has ended is not logged",
        "trips/test_log.py::test_an_id_that_has_ended_is_told", "sessions.observe:note")  # fmt: skip
def _(original: Any) -> Any:
    return lambda event, *rest: None if event == "session_use_after_expire" else original(event, *rest)


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
    async def load(self: Any, sids: Any, generate: Any) -> Any:
        from sessions import StoreUnavailable

        try:
            return await original(self, sids, generate)
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
