"""The long run of the families of session ids, on every store."""
