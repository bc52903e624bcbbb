"""Every byte that Node reads as well: the session's JSON text, the cookie header, the signed id."""
