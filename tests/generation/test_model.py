"""A model that writes: prompts, messages, streams, settings, measures, and what is refused."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.generate.sampling import Sampler
from handrail.model import Model, load
from handrail.tasks.generation.measure import cost_of_rounding, foreseen
from handrail.tasks.generation.predict import load as load_writer
from tests.generation_bundles import generation_bundle

HELLO = [{"role": "user", "content": "Hello"}]


def text_of(model: Model, prompt: Any, **settings: Any) -> str:
    return str(model(prompt, **settings)["text"])


def test_a_prompt_is_continued_and_what_it_took_is_told(model: Model) -> None:
    answer = model("The ship", max_tokens=7, seed=1)
    assert answer["finish"] in ("stop", "length")
    assert answer["usage"]["completion_tokens"] <= 7 and answer["usage"]["prompt_tokens"] == 3


def test_the_same_seed_writes_the_same_text_alone_and_among_others(model: Model) -> None:
    alone = text_of(model, "The ship", seed=5, max_tokens=12)
    among = model.predict(["Who", "The ship", "Grüße, 123", ""], seed=5, max_tokens=12)
    assert among[1]["text"] == alone
    assert text_of(model, {"prompt": "The ship"}, seed=5, max_tokens=12) == alone


def test_several_continuations_are_several_texts(model: Model) -> None:
    found = model("The ship", n=3, seed=5, max_tokens=12)
    assert len({answer["text"] for answer in found}) == 3
    rows = model.predict(["The", "Who"], n=2, seed=1, max_tokens=4)
    assert [len(row) for row in rows] == [2, 2]


def test_a_stream_gives_the_same_text_in_pieces(model: Model) -> None:
    pieces = list(model.stream("The ship", seed=5, max_tokens=12))
    assert "".join(piece.text for piece in pieces) == text_of(model, "The ship", seed=5, max_tokens=12)
    assert len(pieces) > 3 and pieces[-1].finish is not None and pieces[0].finish is None


def test_more_prompts_than_may_wait_are_all_continued(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.generate.generator.MAX_WAITING", 80)
    assert len(model.predict(["The ship"] * 200, max_tokens=1)) == 200


def test_a_stream_that_is_left_frees_its_place(model: Model) -> None:
    for _ in range(50):
        for piece in model.stream("The ship", max_tokens=200, ignore_end=True):
            assert piece.finish is None
            break
    model("x", max_tokens=1)
    assert model.writer.generator.is_idle


def test_a_continuation_that_fails_is_raised(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(*_: object) -> int:
        raise HandrailError("bug", "no token", "report it")

    monkeypatch.setattr(Sampler, "choose", choose)
    with pytest.raises(HandrailError, match="no token"):
        model("The ship", max_tokens=3)
    assert model.writer.generator.is_idle


def test_threads_share_one_model_and_get_their_own_texts(model: Model) -> None:
    wanted = [text_of(model, f"Ship {place}", seed=place, max_tokens=20) for place in range(6)]
    found: dict[int, str] = {}

    def ask(place: int) -> None:
        found[place] = text_of(model, f"Ship {place}", seed=place, max_tokens=20)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(6)] == wanted


def test_two_models_are_called_in_turn(model: Model, tmp_path: Path) -> None:
    other = load(generation_bundle(tmp_path / "other", seed=1), threads=1)
    first = [text_of(one, "The", seed=1, max_tokens=8) for one in (model, other)]
    assert [text_of(one, "The", seed=1, max_tokens=8) for one in (model, other)] == first
    assert first[0] != first[1]


def test_messages_are_answered_with_the_next_message(model: Model) -> None:
    answer = model.chat(HELLO, max_tokens=5, seed=1)
    assert answer["message"]["role"] == "assistant"
    assert model(HELLO, max_tokens=5, seed=1)["message"] == answer["message"]
    said = "".join(piece.text for piece in model.stream(HELLO, max_tokens=5, seed=1))
    assert said.strip() == answer["message"]["content"]


def test_a_model_without_a_template_chats_by_a_plain_one(tmp_path: Path) -> None:
    plain = load(generation_bundle(tmp_path / "plain", template=None), threads=1)
    assert plain.writer.chat.is_plain
    assert "\nUser:" in plain.writer.settings({}, chats=True).stop
    assert plain.chat(HELLO, max_tokens=3)["message"]["role"] == "assistant"


def test_an_empty_prompt_is_the_beginning_of_a_text(model: Model) -> None:
    assert model("", max_tokens=3)["usage"]["prompt_tokens"] == 1


def test_a_text_longer_than_the_window_goes_on_in_a_sliding_one(model: Model) -> None:
    answer = model("The ship " * 200, max_tokens=30, seed=1, ignore_end=True)
    assert answer["usage"]["slid_tokens"] > 0 and answer["usage"]["completion_tokens"] == 30


def test_defaults_of_a_model_hold_where_nothing_is_said(tmp_path: Path) -> None:
    short = load(generation_bundle(tmp_path / "short", defaults={"max_tokens": 2, "temperature": 0.0}), threads=1)
    assert short("The")["usage"]["completion_tokens"] <= 2
    assert text_of(short, "The") == text_of(short, "The")


def test_logprobs_come_with_names(model: Model) -> None:
    found = model("The", max_tokens=3, logprobs=2, ignore_end=True)["logprobs"]
    assert len(found) == 3 and len(found[0]["top"]) == 2 and found[0]["logprob"] <= 0


def test_foresight_is_what_the_logits_say(bundle: Path) -> None:
    model = load(bundle, threads=1)
    writer = load_writer(model.bundle, slots=2)
    tokens = writer.tokenizer.encode("The ship was ready, and the sea was calm. " * 6)[:150]
    found = foreseen(writer.decoder, tokens)
    for place in (0, 40, len(tokens) - 2):
        logits = writer.decoder.prefill(0, np.array(tokens[: place + 1]), 0)
        assert logits is not None
        wide = logits.astype(np.float64)
        wanted = wide[tokens[place + 1]] - np.log(np.exp(wide).sum())
        assert found[place] == pytest.approx(wanted, abs=0.05)


def test_a_text_longer_than_the_window_is_measured_to_its_end(bundle: Path) -> None:
    writer = load_writer(load(bundle).bundle, slots=1)
    tokens = writer.tokenizer.encode("Who goes there? Stand! " * 90)
    assert len(tokens) > 2 * writer.window
    assert len(foreseen(writer.decoder, tokens)) == len(tokens) - 1


def test_evaluate_tells_bits_per_byte_of_a_text_or_a_file(model: Model, tmp_path: Path) -> None:
    text = "The ship was ready, and the sea was calm."
    found = model.evaluate(text)
    assert found["bytes"] == len(text) and 0 < found["bits_per_byte"] < 20
    assert found["perplexity"] == pytest.approx(
        2 ** (found["bits_per_byte"] * found["bytes"] / found["tokens"]), rel=1e-6
    )
    (tmp_path / "a.txt").write_text(text)
    assert model.evaluate(tmp_path / "a.txt") == found


def test_weights_of_4_8_and_32_bits_are_opened_and_fewer_foresee_a_little_less(tmp_path: Path) -> None:
    text = "The ship was ready, and the sea was calm. " * 4
    found = {}
    for bits in (32, 8, 4):
        made = load(generation_bundle(tmp_path / str(bits), bits=bits), threads=1)
        found[bits] = made.evaluate(text)["bits_per_byte"]
    assert found[8] == pytest.approx(found[32], rel=0.02)
    assert found[4] == pytest.approx(found[32], rel=0.2)


REFUSED: dict[str, Any] = {
    "a setting that is misspelt": lambda model: model("x", max_token=3),
    "no tokens": lambda model: model("x", max_tokens=0),
    "too many tokens": lambda model: model("x", max_tokens=2**31),
    "a negative number": lambda model: model("x", max_tokens=-1),
    "a temperature that is no number": lambda model: model("x", temperature=math.nan),
    "stop texts by the thousand": lambda model: model("x", stop=["a"] * 1_000 + [str(n) for n in range(1_000)]),
    "a million continuations": lambda model: model("x", n=10**6),
    "messages without a role": lambda model: model.chat([{"content": "x"}]),
    "a row that is none": lambda model: model.predict([3]),
    "a field that is none": lambda model: model({"promt": "x"}),
    "an empty text to measure": lambda model: model.evaluate(""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_off_is_refused_in_words(model: Model, what: str) -> None:
    with pytest.raises(HandrailError) as raised:
        REFUSED[what](model)
    assert raised.value.code == "data"
    assert model("x", max_tokens=1)["usage"]


def test_the_nearest_setting_is_named(model: Model) -> None:
    with pytest.raises(HandrailError, match="Did you mean 'temperature'"):
        model("x", temprature=1)


def test_a_text_is_not_explained(model: Model) -> None:
    with pytest.raises(HandrailError, match="not explained") as raised:
        model.explain("x")
    assert raised.value.code == "usage"


def test_other_models_take_no_settings_and_do_not_write(classifier: Model) -> None:
    row = classifier.signature.sample_row()
    for act in (lambda: classifier(row, max_tokens=3), lambda: classifier.chat(HELLO), lambda: classifier.stream("x")):
        with pytest.raises(HandrailError) as raised:
            act()
        assert raised.value.code == "usage"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from tests.serve.bundles import make_bundle

    return make_bundle(tmp_path_factory.mktemp("classifier") / "model")


@pytest.mark.parametrize(
    ("bits", "after", "said"),
    [
        (8, 20.1, ""), (8, 20.3, "rounding to 8 bits costs 1.5% of perplexity (20.00 → 20.30)"), (4, 20.5, ""),
        (4, 21.0, "5.0% of perplexity (20.00 → 21.00), more than usual: --bits 8 costs less"), (32, 30.0, ""),
    ],
)  # fmt: skip
def test_what_rounding_costs_is_said_above_what_is_usual(bits: int, after: float, said: str) -> None:
    found = cost_of_rounding(bits, 20.0, after)
    assert said in found
    assert bool(found) == bool(said)
