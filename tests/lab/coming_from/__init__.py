"""Owns what runs docs/coming-from against the packages that its pages name, in an environment of their own.

What needs no package from elsewhere is in tests/coming_from.
"""
