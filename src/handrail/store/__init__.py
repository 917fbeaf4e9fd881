"""Names, versions, aliases and runs: one SQLite file over the bundles, which are the truth."""
