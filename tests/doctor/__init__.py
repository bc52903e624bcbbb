"""Tests of `python -m sessions doctor`: each fault is made in the real thing, and each store is silent when it is well."""
