"""The benchmark: how fast the sessions are, against no sessions and against the field."""
