"""Owns the exit codes. They are stable: scripts ask for them."""

DONE = 0
FAILED = 1
"""The store or the network failed."""
USAGE = 2
"""A wrong command, option or configuration."""
NOTHING = 3
"""Nothing matched."""
FAULT = 4
"""`doctor` found a fault."""
LEFT = 130
"""Ctrl-C, or a question that was answered with no."""
