"""What protects the rows of a store from those who read or copy its database: seals over the data, hashes for the ids.

Both are wrappers of a store, put together as `HashedIds(SealedStore(store))`.
"""
