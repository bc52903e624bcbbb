"""Owns the upgrade tests: stores as an earlier version has left them, and what the present one makes of them.

A folder for each version that made some: sessions.db, redis.jsonl, postgres.sql, and sessions.json, which tells what
every session in them is to read as. They are never made again.
"""
