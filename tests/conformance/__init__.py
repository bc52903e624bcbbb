"""The wire: transcripts and vectors recorded from express-session 1.19, replayed against this library.

`application.py` is the generic test application on our library (with `ops.py` and `options.py`), `replay.py` plays
transcripts against it, and the `test_*.py` files make both part of the suite. The protocol between them is that of the
session oracle: a scenario is a list of HTTP requests with the operations that a generic handler runs, and what was
observed of them.
"""
