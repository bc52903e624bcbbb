"""Owns the tests of docs/coming-from: what each page shows before and after is served, and does what the page says.

What needs a package from elsewhere is in tests/lab/coming_from.
"""
