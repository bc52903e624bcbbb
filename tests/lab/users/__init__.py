"""Shows that a revocation misses no session, and that an index holds what lives and nothing else, in large numbers."""
