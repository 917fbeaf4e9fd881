"""A small encoder with weights drawn at random: it tells texts apart, and knows nothing."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.catalog import fetch
from tests.catalog import test_fetch as bert

ALPHABET = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *string.ascii_lowercase, *string.digits, *string.punctuation,
            *(f"##{letter}" for letter in string.ascii_lowercase + string.digits)]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A HANDRAIL_HOME in which the base "tiny" is at hand, also under the name of the usual one."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bert, "VOCABULARY", ALPHABET)
        path, entry = bert.wheel(folder, bert.packed(bert.small_bert()))
        members = fetch.read_wheel(path.read_bytes(), entry.wheel, path)
        entry = dataclasses.replace(entry, size=bert.HIDDEN, longest=32)
        patch.setitem(fetch.ENTRIES, "tiny", entry)
        patch.setitem(
            fetch.ENTRIES, "minilm", dataclasses.replace(entry, wheel=dataclasses.replace(entry.wheel, name="minilm"))
        )
        patch.setattr(fetch, "_installed", lambda _: members)
        yield folder / "home"
