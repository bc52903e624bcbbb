"""Enumerates longer histories of renewed cookies than the suite has time for."""
