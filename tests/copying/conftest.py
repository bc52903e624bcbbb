"""Owns the loop of the tests of a copy: each async test runs on a loop of its own."""

import pytest
from tornado.ioloop import IOLoop


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Tests that ask for no store as well."""
