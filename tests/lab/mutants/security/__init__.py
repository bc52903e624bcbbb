"""Owns the mutants of docs/security.md: the rows that each breaks begin its name.

Every row that says "met" has one, and the tests that the row names notice it (tests/test_security_doc.py looks).
"""

from . import at_rest, cookies, renewal, secret, server, sessions, sockets, users

MUTANTS = [
    *sessions.MUTANTS,
    *secret.MUTANTS,
    *server.MUTANTS,
    *cookies.MUTANTS,
    *users.MUTANTS,
    *sockets.MUTANTS,
    *at_rest.MUTANTS,
    *renewal.MUTANTS,
]
