"""Rigs that load a server, break it, and count what became of every request."""
