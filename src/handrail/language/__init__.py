"""Texts by what they mean: vectors, search, labels without training, summaries; all on one pretrained encoder."""
