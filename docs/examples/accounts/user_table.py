"""Owns the users: a table of SQLite, with passwords hashed by Argon2id. It knows nothing of sessions.

A user's `stamp` is a random text; a new password brings a new one.
"""

import asyncio
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from secrets import token_hex
from time import time
from typing import NamedTuple

from aiosqlite import Connection
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from tornado.web import HTTPError

TABLE = """CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY AUTOINCREMENT,
    login TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password TEXT, stamp TEXT NOT NULL)"""

MIN_LENGTH, MAX_TRIES, REFUSED = 10, 10, 422

refused = partial(HTTPError, REFUSED)  # for a name or a password that will not do, with a text for who has typed it


class User(NamedTuple):
    """A row of the table, without the password."""

    id: int
    name: str
    stamp: str


class UserTable:
    """The table. `hasher` is there for tests, which want a cheaper one."""

    def __init__(self, db: Connection, hasher: PasswordHasher | None = None) -> None:
        self._db, self._hasher = db, hasher or PasswordHasher()
        threads = ThreadPoolExecutor(2)  # a hash takes 64 MiB of memory, and as much time as it should
        self._in_thread = partial(asyncio.get_running_loop().run_in_executor, threads)
        self._nobodys = self._hasher.hash(token_hex())
        self._tries, self._tries_end = Counter[str](), 0.0

    async def get(self, user: str | int) -> User | None:
        """Return the user of an id."""
        return next(iter(await self._users("SELECT id, name, stamp FROM users WHERE id = ?", user)), None)

    async def register(self, name: str, password: str) -> User:
        """Make a user, if the name is free."""
        if not re.fullmatch("[a-z0-9_-]{2,30}", name):
            raise refused("A name has 2 to 30 characters, of a to z, 0 to 9, _ and -.")
        sql = "INSERT INTO users (login, name, password, stamp) VALUES (?1, ?1, ?2, ?3) ON CONFLICT DO NOTHING"
        users = await self._users(f"{sql} RETURNING id, name, stamp", name, await self._hash(password), token_hex())
        if not users:
            raise refused("This name is taken.")
        return users[0]

    async def at_provider(self, login: str, name: str) -> User:
        """Return the user of an account elsewhere; at the first visit, make one who has no password."""
        sql = "INSERT INTO users (login, name, stamp) VALUES (?, ?, ?) ON CONFLICT (login) DO UPDATE"
        sql += " SET name = excluded.name RETURNING id, name, stamp"
        return (await self._users(sql, login, name, token_hex()))[0]

    async def check(self, name: str, password: str) -> User:
        """Return the user with this password. For an unknown name all is as for a wrong password."""
        if time() > self._tries_end:
            self._tries, self._tries_end = Counter(), time() + 60
        self._tries[name[:30]] += 1
        if self._tries[name[:30]] > MAX_TRIES:
            raise refused("Too many tries. Wait a minute.")
        sql = "SELECT password, id, name, stamp FROM users WHERE login = ? AND password IS NOT NULL"
        rows = [*await self._db.execute_fetchall(sql, (name,))]
        try:
            await self._in_thread(self._hasher.verify, rows[0][0] if rows else self._nobodys, password)
        except VerifyMismatchError:
            raise refused("There is no such user, or the password is another one.") from None
        return User(*rows[0][1:])

    async def change_password(self, user: User, password: str) -> User:
        """Give the user a password and a stamp, unless another request has done so since the user was read."""
        sql = "UPDATE users SET password = ?, stamp = ? WHERE id = ? AND stamp = ? RETURNING id, name, stamp"
        users = await self._users(sql, await self._hash(password), token_hex(), user.id, user.stamp)
        if not users:
            raise refused("The password was changed on another device.")
        return users[0]

    async def _hash(self, password: str) -> str:
        if len(password) < MIN_LENGTH:
            raise refused(f"A password has {MIN_LENGTH} characters or more.")
        return await self._in_thread(self._hasher.hash, password)

    async def _users(self, sql: str, *values: str | int) -> list[User]:
        return [User(*row) for row in await self._db.execute_fetchall(sql, values)]
