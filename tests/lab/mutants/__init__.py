"""Owns the proof that the tests hold the promises: `make mutants` breaks each of them on purpose, many times.

A mutant names a function, a method or a constant of `sessions/` and says what takes its place (mutant.py). The tests
that are named beside it have to fail then. The tables are beside this file: core.py, web.py, and one for each store.
"""
