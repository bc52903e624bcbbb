"""Owns `StoreContract`: the whole contract of `sessions.store` as tests, for every store.

    class TestMyStore(AdminContract, StoreContract):
        shared = True

        def make_store(self, place: Path) -> Store:
            return MyStore(place / "sessions", clock=self.clock)

pytest runs it as it is. Three sentences of the contract have no test here, because no store can be made to show them
from outside: that a verb does not block the event loop, that a driver's error is the cause of a StoreError, and that a
failure that may pass is a StoreUnavailable.
"""

from ..store import Store
from .changes import TouchContract, UpdateContract
from .reads import CreateContract, DestroyContract, GetContract
from .renames import RenameContract
from .suite import on_store
from .texts import TextContract
from .together import TogetherContract

POWERS = ("admin", "overwriting", "prepared", "sweepable", "users")


class StoreContract(
    GetContract,
    CreateContract,
    UpdateContract,
    TouchContract,
    RenameContract,
    DestroyContract,
    TextContract,
    TogetherContract,
):
    """The contract of a store: derive from it, override `make_store`, and let pytest collect the class.

    The contracts of the powers (`AdminContract`, …) are classes beside it: derive from those that the store offers.
    """

    @on_store
    async def test_the_powers_that_are_offered_are_tested(self, store: Store) -> None:
        """The test class lists the contract of every power that the store offers, and of no other."""
        tested = {vars(base)["power"] for base in type(self).__mro__ if "power" in vars(base)}

        assert tested == {power for power in POWERS if getattr(store, power, None) is not None}
