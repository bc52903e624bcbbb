"""The rooms that know Tornado."""
