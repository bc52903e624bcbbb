"""Owns the list of all mutants, by promise."""

from . import copying, core, kinds, memory, mongodb, postgres, redis, security, sign_ins, sqlite, users, web

MUTANTS = sorted(
    [
        *security.MUTANTS,
        *kinds.MUTANTS,
        *web.MUTANTS,
        *core.MUTANTS,
        *sign_ins.MUTANTS,
        *memory.MUTANTS,
        *sqlite.MUTANTS,
        *postgres.MUTANTS,
        *redis.MUTANTS,
        *mongodb.MUTANTS,
        *users.MUTANTS,
        *copying.MUTANTS,
    ],
    key=lambda mutant: mutant.promise,
)
