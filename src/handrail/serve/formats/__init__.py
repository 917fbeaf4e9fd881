"""Wire formats, each a file of pure functions over the signature."""
