"""Owns that async tests run on a loop of their own."""

import pytest
from tornado.ioloop import IOLoop


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Also those that ask for no store."""
