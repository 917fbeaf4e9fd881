"""The command line in this process, as the tests of faces have it."""

from tests.faces.conftest import cli

__all__ = ["cli"]
