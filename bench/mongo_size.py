"""Owns the sum of what a session takes in MongoDB: the bytes of its document in BSON, for the sizes of bench/memory.py.

mongod keeps a document in its cache at this size, and compresses it on its way to the disk. Nothing is measured here.
"""

import json
import secrets

import bson

from bench.memory import COOKIE, DATA, LIFETIME
from sessions import StoredSession, now_ms
from sessions.stores.mongodb.documents import writing


def size(record: StoredSession, user: str | None) -> int:
    """The bytes of a document; with a user it names that one beside the session."""
    fields = writing(record, user, notes_user=user is not None)["$set"]
    return len(bson.encode({"_id": secrets.token_urlsafe(24), **fields}))


def main() -> None:
    """Print a table for docs/scaling.md."""
    print("| session | bytes of text | bytes of the document | with its user | GB for 100 million |")
    for name, data in DATA.items():
        text = json.dumps({"cookie": COOKIE, **data}, separators=(",", ":"))
        record = StoredSession(text, now_ms() + LIFETIME)
        plain, noted = (size(record, user) for user in (None, "somebody"))
        print(f"| {name} | {len(text):,} | {plain:,} | {noted:,} | {noted / 10:,.1f} |")


if __name__ == "__main__":
    main()
