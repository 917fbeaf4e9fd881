"""The serving plane: alone, and as real processes."""
