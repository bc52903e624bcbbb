"""What tests of applications and of stores use: a visitor, a clock to move, a store to break, the contract of a store.

`sessions` does not import this package, and it imports no test runner.
"""

from .browser import Browser
from .clock import Clock
from .contract import StoreContract
from .failing import FailingStore
from .powers import AdminContract, OverwritingContract, PreparedContract, SweepableContract
from .users import UsersContract

__all__ = [
    "AdminContract",
    "Browser",
    "Clock",
    "FailingStore",
    "OverwritingContract",
    "PreparedContract",
    "StoreContract",
    "SweepableContract",
    "UsersContract",
]
