"""Rows from files, and what they look like: kinds, gaps, leaks, duplicates, groups, time."""
