"""Inputs that nobody meant: `make fuzz` tries millions of them, the suite tries some thousands on every run."""
