"""Teaches a language model the words of somebody's own texts."""
