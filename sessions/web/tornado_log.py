"""Owns what is taken out of Tornado's log: the values of a request that its messages quote, of headers and of forms.

A Cookie header is among them. The address of a request is not: it is in the access log. This file must not know
sessions.
"""

import logging
import re

from tornado.httputil import HTTPInputError

_OWN_WORDS = re.compile(r"Unsupported Transfer-Encoding|[^:'\"]*")
"""What a message of an HTTPInputError says before the value that it quotes."""

_QUOTING = re.compile(r"(?s)(Invalid unicode in [^:]*|Invalid body): .*|(Origin|Sec-Fetch-Site) .* not allowed")
"""The messages of an HTTPError in which Tornado quotes a value. All others are an application's own."""


def unquoted(record: logging.LogRecord) -> bool:
    """Take the values out of a record of the logger `tornado.general`. Its words stay. A filter: returns True."""
    if record.levelno == logging.DEBUG:
        record.exc_info = None  # of a token or a header that cannot be read: the error quotes it
    if isinstance(record.args, tuple) and record.args:
        *others, last = record.args
        if isinstance(last, HTTPInputError):
            match = _OWN_WORDS.match(str(last))
            last = "" if match is None else match[0].strip()
        elif isinstance(last, str):
            last = _QUOTING.sub(lambda found: found[1] or f"{found[2]} not allowed", last)
        words = str(record.msg)  # an application may log any object
        if words.endswith("%r") and "cookie" in words.lower():  # a signed cookie of Tornado's
            last = "…"
        record.args = (*others, last)
    return True
