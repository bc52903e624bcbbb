"""Owns which secrets everybody knows: people copy a tutorial's together with its code.

A secret is compared without letter case, blanks and punctuation, so that a variant of such a one is found too. Nothing
here shows a secret.
"""

import re

_PLACEHOLDERS = (
    "secret", "my secret", "a secret", "the secret", "some secret", "super secret", "top secret", "very secret",
    "my super secret", "s3cr3t", "s3cret", "shh", "shhh", "shhhh", "shhhhh", "ssshhhhh", "shhhh, very secret",
    "secret key", "my secret key", "your secret key", "your secret", "super secret key", "your super secret key",
    "mysupersecretkey", "this is a secret", "this is secret", "this is my secret", "this is a secret key",
    "thisisasecret", "thisismysecret", "thisismysecretkey", "thisisasecretkey", "this should be a better secret",
    "session secret", "my session secret", "your session secret", "session secret key", "express session secret",
    "cookie secret", "my cookie secret", "your cookie secret", "a cookie secret", "jwt secret", "app secret",
    "keyboard cat", "anything", "any string", "random string", "a random string", "foo", "bar",
    "foobar", "test", "testing", "test secret", "example", "dev", "dev secret", "development", "development key",
    "change me", "changeme", "change this", "change it", "please change me", "change me in production", "replace me",
    "todo", "password", "passwd", "qwerty", "123456", "1234567890", "abc123", "abcdef", "hello world", "helloworld",
    "default", "default secret", "our little secret", "our little secret.", "this is our little secret",
    "Should be a long and random string", "a very long and random string", "insert your secret here",
    "ilovescotchscotchyscotchscotch", "ilovescotchyscotch", "a santa at nasa", "2C44-4D44-WppQ38S",
    "your secret key here", "your-session-secret-here", "put your secret here", "enter your secret here",
)  # fmt: skip
"""What express-session's manual, its tutorials and templates of `.env` have. Nearly all are shorter than a secret
may be; here they get the word that fits."""

_LONG = (
    "__TODO:_GENERATE_YOUR_OWN_RANDOM_VALUE_HERE__",  # Tornado's documentation
    "11oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",  # Tornado's demos
    "12oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "32oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "43oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",
    "61oETzKXQAGaYdkL5gEmGeJJFuYh7EQnp2XdTP1o/Vo=",  # its documentation, before 3.0
    "bZJc2sWbQLKos6GkHn/VB9oXwQt8S0R0kRvJ5/xJ89E=",  # "Introduction to Tornado"
    "L8LwECiNRxq2N0N2eGxx9MZlrpmuMEimlydNX/vt1LM=",  # answers about Tornado
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask's documentation
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI's
    "thisismysecrctekeyfhrgfgrfrty84fwir767",  # a tutorial of express-session
    "complex_password_at_least_32_characters_long",  # iron-session's documentation
)
"""Those that are long enough, so that only a list finds them."""

_PREFIX = "djangoinsecure"
"""What Django puts before a key that it has made for development."""


def is_published(secret: bytes) -> bool:
    """Return True if a secret is in a manual or a tutorial, so that it is none."""
    plain = _plain(secret.decode("utf-8", "replace"))
    return plain in _KNOWN or plain.startswith(_PREFIX)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


_KNOWN = frozenset(map(_plain, (*_PLACEHOLDERS, *_LONG)))
