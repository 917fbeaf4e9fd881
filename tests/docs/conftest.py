"""A reader who has done what the first guide says: others go on from there."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from handrail.deployments import down
from handrail.engines.local.place import Place
from handrail.engines.local.settings import write_settings
from tests.docs.walks import ROOT, Walk, a_checkout

GUIDES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "guides").glob("*.md"))}


@pytest.fixture(scope="package")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Nothing that they started is left. Their home holds two versions of `tickets`."""
    folder = tmp_path_factory.mktemp("walk")
    reader = Walk(folder / "home", _free_port(), a_checkout(folder / "checkout"))
    write_settings(Place(reader.home), host="127.0.0.1", port=reader.port)
    try:
        reader.follow(GUIDES["deploy"])
        yield reader
    finally:
        down(home=reader.home)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
