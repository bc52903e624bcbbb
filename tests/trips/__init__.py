"""Whole trips: a browser with a jar, real sockets, Tornado, the library and a store. Everything goes through the front door."""
