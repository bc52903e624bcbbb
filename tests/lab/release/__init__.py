"""Owns the tests of a release: `make dist`, and each extra of the wheel alone in an environment that has nothing else.

What needs no package index is in tests/test_wheel.py.
"""
