"""Pretrained bases: name, licence, size, sources, sha256."""
