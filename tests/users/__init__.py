"""Whose session it is: how a store finds a user, on every store, and what a manager does with it."""
