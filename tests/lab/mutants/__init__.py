"""The proof that the tests hold the promises: `make mutants` breaks each of them on purpose and sees that a test notices."""
