"""Owns what a text has to be so that a SQL store keeps it whole. It knows nothing else."""


def is_storable(text: str) -> bool:
    """Whether every reader of the database is handed a text whole: without NUL, and in UTF-8."""
    if "\0" in text:
        return False
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True
