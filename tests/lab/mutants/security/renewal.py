"""Owns the mutants of the rows that a renewed cookie and an id by header have a part in."""

from typing import Any

from ..mutant import always, row_table

MUTANTS, breaks = row_table()

VALUES, COPIED = "trips/test_cookie_values.py", "trips/test_cookie_values_copied.py"
HEADERS = "trips/test_header_ids.py"
RENEWAL = "sessions.renewal:Renewal"


def instead(old: str, new: str) -> Any:
    """A function that returns another word in place of one."""

    def replacement(original: Any) -> Any:
        def returning(*given: Any) -> Any:
            word = original(*given)
            return new if word == old else word

        return returning

    return replacement


# ---------------------------------------------------------------- a renewed cookie

breaks("CS-renewal", "no value is ever due", f"{VALUES}::test_the_value_changes_and_the_row_stays",
       f"{RENEWAL}._left")(always(float("inf")))  # fmt: skip
breaks("CS-renewal", "a value that is over is good", f"{COPIED}::test_a_value_that_is_over_has_no_session",
       f"{RENEWAL}.standing")(instead("over", "replaced"))  # fmt: skip
breaks("CS-renewal", "a tombstone forgets which values are good",
       f"{COPIED}::test_a_tombstone_knows_which_values_are_good", "sessions.meta:_values")(always({}))  # fmt: skip
breaks("CS-renewal", "a lost answer is lost for good", f"{VALUES}::test_a_lost_answer_strands_nobody",
       f"{RENEWAL}.value")(instead("lost", "quiet"))  # fmt: skip
breaks("CS-renewal", "the value before is over when the next one is made",
       "test_renewal.py::test_no_history_of_lost_answers_locks_the_owner_out",
       f"{RENEWAL}.standing")(instead("lost", "over"))  # fmt: skip
breaks("CS-renewal", "a replaced value gets the present one",
       f"{VALUES}::test_a_value_in_use_makes_the_one_before_quiet",
       f"{RENEWAL}.value")(instead("quiet", "lost"))  # fmt: skip
breaks("CS-renewal", "each of many requests has a value of its own",
       "trips/test_cookie_values_parallel.py::test_fifty_requests_at_once_get_one_new_value",
       "sessions.meta:SessionMeta.forget")(always(None))  # fmt: skip


@breaks("CS-renewal", "the first use is not noted", f"{COPIED}::test_a_value_that_is_over_has_no_session",
        f"{RENEWAL}.is_first_use")  # fmt: skip
def _(_original: Any) -> Any:
    return lambda _self, _tags: False


breaks("CS-renewal", "a slow answer with a replaced value gets the present one",
       f"{VALUES}::test_of_two_tabs_the_slow_one_loses_nothing", "sessions.state:answer")(
    lambda original: lambda plan, outcome, _value: original(plan, outcome)
)  # fmt: skip


@breaks("CS-renewal", "a cookie leaves by a touch, which sees no newer value",
        f"{VALUES}::test_a_commit_under_way_sends_no_older_value", "sessions.policy:decide")  # fmt: skip
def _(original: Any) -> Any:
    def decide(facts: Any, *given: Any, **named: Any) -> Any:
        return original(facts._replace(value="fixed") if facts.value == "present" else facts, *given, **named)

    return decide


@breaks("CS-renewal", "an end ends nothing", f"{COPIED}::test_reuse_says_whether_the_session_ends",
        "sessions.writes:Writes.reused")  # fmt: skip
def _(_original: Any) -> Any:
    async def reused(*_given: Any) -> None:
        pass

    return reused


# ---------------------------------------------------------------- an id by header


@breaks("3.5.1; 3.5.3", "any value in the header needs no token", f"{HEADERS}::test_new_and_a_bad_value_need_a_token",
        "sessions.web.mixin:is_signed_by_header")  # fmt: skip
def _(_original: Any) -> Any:
    return lambda manager, headers: headers.get(manager.options.header or "") is not None


@breaks("CS-strict", "a bad value in the header lets the cookie count",
        f"{HEADERS}::test_a_bad_value_is_no_session_and_no_cookie_counts", "sessions.web.sent:_in_header")  # fmt: skip
def _(original: Any) -> Any:
    def in_header(manager: Any, given: list[str]) -> Any:
        from sessions.web import sent

        found = original(manager, given)
        return found if found[0] else sent.NOTHING

    return in_header


@breaks("14.2.1", "the id of a client without cookies leaves in a cookie too",
        f"{HEADERS}::test_a_client_asks_for_an_id_and_comes_back_with_it", "sessions.web.request:add_id")  # fmt: skip
def _(original: Any) -> Any:
    def add_id(*given: Any, by_header: bool) -> None:
        original(*given, by_header=by_header)
        original(*given, by_header=False)

    return add_id


@breaks("14.2.2", "Vary does not name the header", f"{HEADERS}::test_what_reads_a_session_varies_by_both",
        "sessions.web.request:vary")  # fmt: skip
def _(_original: Any) -> Any:
    def vary(headers: Any, _manager: Any) -> None:
        headers["Vary"] = "Cookie"

    return vary
