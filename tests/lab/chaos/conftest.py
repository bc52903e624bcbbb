"""Owns the mark that gives an experiment more time than pytest-tornasync gives a test; it reads that mark itself."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "timeout(seconds): how long an async test may take")
