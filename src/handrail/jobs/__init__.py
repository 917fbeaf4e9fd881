"""Batch, async and tasks: kept in SQLite, done by processes of their own, no broker."""
