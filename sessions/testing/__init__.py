"""What tests of applications and of stores use: the contract of a store as test classes, and a clock to move.

`sessions` does not import this package, and it imports no test runner.
"""

from .clock import Clock
from .contract import StoreContract
from .powers import AdminContract, OverwritingContract, PreparedContract, SweepableContract
from .users import UsersContract

__all__ = [
    "AdminContract",
    "Clock",
    "OverwritingContract",
    "PreparedContract",
    "StoreContract",
    "SweepableContract",
    "UsersContract",
]
