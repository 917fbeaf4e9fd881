"""The serving plane: gateway, batcher, pool, replica."""
