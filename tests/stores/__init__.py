"""The stores: one contract suite for all of them, and what is SQLite's own."""
