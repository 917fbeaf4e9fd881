"""The fixtures of the command line, for hostile commands and bundles."""

from tests.faces.conftest import cli, own, shop, stocked

__all__ = ["cli", "own", "shop", "stocked"]
