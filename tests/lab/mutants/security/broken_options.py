"""Owns what several files of rows use: options that are broken."""

import dataclasses
from typing import Any

from ..mutant import Replacement


def default(**values: Any) -> Replacement:
    """An options class with other defaults."""

    def replacement(original: Any) -> Any:
        def init(self: Any, **given: Any) -> None:
            original(self, **{**values, **given})

        return init

    return replacement


def together(**members: Any) -> Replacement:
    """Options that are looked at as if a cookie's attribute were harmless."""
    return lambda original: lambda self, cookie: original(self, dataclasses.replace(cookie, **members))
