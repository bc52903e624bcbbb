"""What protects the rows of a store from those who read or copy its database: seals over the data, hashes for the ids.

Both are wrappers of a store, put together as `HashedIds(SealedStore(store))`.
"""

from importlib import import_module
from typing import Any

from ..errors import OptionsError


def sealed_store_class() -> Any:
    """Return the class SealedStore. Raises OptionsError if the package that encrypts is not installed."""
    try:
        return import_module(".sealed_store", __name__).SealedStore
    except ModuleNotFoundError as error:
        raise OptionsError(
            "encryption: needs the package cryptography, which is not installed:"
            " pip install 'tornado-express-sessions[crypto]'"
        ) from error
