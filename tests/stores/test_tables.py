"""The tables of the stores, beside the stores themselves."""

from inspect import signature
from typing import Any

import pytest

from sessions import MemoryStore, MongoStore, PostgresStore, RedisStore, SQLiteStore
from sessions.stores.tables import STORE_OPTIONS, STORE_TABLES

STORES: dict[str, Any] = {
    "sqlite": SQLiteStore,
    "postgres": PostgresStore,
    "mongodb": MongoStore,
    "memory": MemoryStore,
    "redis": RedisStore,
}


@pytest.mark.parametrize("table", STORE_OPTIONS)
def test_a_table_has_the_options_of_its_store_with_their_defaults(table: str) -> None:
    """Python's and the file's are the same; a clock has no place in a file."""
    parameters = signature(STORES[table]).parameters.values()

    of_the_store = {each.name: each.default for each in parameters if each.default is not each.empty}
    of_the_store.pop("clock", None)  # PostgreSQL and Redis go by their own
    assert vars(STORE_OPTIONS[table]()) == of_the_store


def test_every_scheme_of_ours_has_a_table() -> None:
    """And no table is without one."""
    assert set(STORE_TABLES.values()) == STORE_OPTIONS.keys()
