"""The store in a PostgreSQL table."""

from .store import PostgresStore

__all__ = ["PostgresStore"]
