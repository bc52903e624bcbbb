"""Owns another client's view of the table of a PostgreSQL store: its connection, its locks, Node's statements."""

from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sessions.stores.postgres import PostgresStore

from .postgres_server import shared
from .postgres_time import FUNCTION

TABLE_SQL = """
CREATE TABLE "session" (
  "sid" varchar NOT NULL COLLATE "default",
  "sess" json NOT NULL,
  "expire" timestamp(6) NOT NULL
)
WITH (OIDS=FALSE);

ALTER TABLE "session" ADD CONSTRAINT "session_pkey" PRIMARY KEY ("sid") NOT DEFERRABLE INITIALLY IMMEDIATE;

CREATE INDEX "IDX_session_expire" ON "session" ("expire");
"""
"""connect-pg-simple 10.0.0, table.sql."""

NODE_SET = """
    INSERT INTO {} (sess, expire, sid) SELECT $1, to_timestamp($2), $3
    ON CONFLICT (sid) DO UPDATE SET sess=$1, expire=to_timestamp($2) RETURNING sid
"""
NODE_GET = "SELECT sess FROM {} WHERE sid = $1 AND expire >= to_timestamp($2)"
NODE_TOUCH = "UPDATE {} SET expire = to_timestamp($1) WHERE sid = $2 RETURNING sid"
"""connect-pg-simple 10.0.0, index.js. Its times are whole seconds, rounded up."""


def table(store: PostgresStore) -> str:
    """Its table, for SQL."""
    return store._table.name


@asynccontextmanager
async def connected(url: str | None = None) -> Any:
    """Another client's connection."""
    connection = await asyncpg.connect(url or shared().url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def locked(store: PostgresStore, *sids: str, text: str | None = None) -> Any:
    """Another client's transaction, under way while the block runs, that holds rows; with `text` it changes them."""
    async with connected() as other, other.transaction():
        await other.execute(f"SELECT 1 FROM {table(store)} WHERE sid = ANY($1::text[]) FOR UPDATE", list(sids))
        if text is not None:
            await other.execute(f"UPDATE {table(store)} SET sess = $2 WHERE sid = ANY($1::text[])", list(sids), text)
        yield other


def database(name: str) -> str:
    """The URL of a new database on the shared server."""
    shared().sql(f'DROP DATABASE IF EXISTS "{name}"')
    shared().sql(f'CREATE DATABASE "{name}"')
    return shared().url.replace("/postgres?", f"/{name}?")


def emptied(name: str) -> str:
    """The same with nothing in it but an empty schema `public`, where one of that name is there: to make it takes longer."""
    if not shared().sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        return database(name)
    shared().sql(
        f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT USAGE ON SCHEMA public TO PUBLIC; {FUNCTION}", name
    )
    return shared().url.replace("/postgres?", f"/{name}?")


async def shape(connection: asyncpg.Connection, name: str) -> list[Any]:
    """Columns, constraints and indexes of a table, as PostgreSQL writes them."""
    columns = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attcollation, attnum FROM pg_attribute"
        " WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum", name,
    )  # fmt: skip
    constraints = await connection.fetch(
        "SELECT conname, pg_get_constraintdef(oid), condeferrable FROM pg_constraint"
        " WHERE conrelid = to_regclass($1) ORDER BY 1", name,
    )  # fmt: skip
    indexes = await connection.fetch(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass($1) ORDER BY 1", name
    )
    return [[tuple(row) for row in rows] for rows in (columns, constraints, indexes)]
