"""What is decided, and why, from the text, the base and the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from handrail.core.errors import HandrailError
from handrail.finetuning.methods import make_trainable, trained_parameters
from handrail.finetuning.network import new_network
from handrail.finetuning.plan import learning_size, memory_bytes, plan
from handrail.finetuning.plan_values import Material, Order, Plan, Shape
from handrail.finetuning.preparing import shape_of_start
from handrail.finetuning.starts import Start
from tests.finetuning.conftest import CONFIGS

# SmolLM2-135M, tinyshakespeare, two cores.
SHAPE = Shape(
    blocks=30, block_size=3_540_000, table_size=28_311_552, width=576, vocabulary=49_152, context=8_192, sides=10_176,
)  # fmt: skip
MATERIAL = Material(tokens=320_000, held_out=9_000, distinct=11_500, longest=100_000)
POWERS = {"device": "cpu", "precision": "bf16", "flops": 400e9, "free_bytes": 20 * 2**30, "reason": "bfloat16"}


def planned(shape: Shape = SHAPE, material: Material = MATERIAL, powers: Any = None, **order: Any) -> Plan:
    return plan(
        shape, material, {**POWERS, **(powers or {})}, Order(**order), {"name": "smollm2", "licence": "Apache-2.0"}
    )


def words(found: Plan) -> dict[str, str]:
    return dict(found.lines)


def test_without_any_limit_there_is_a_time_and_a_number_of_passes() -> None:
    settings = planned().settings
    assert settings.time_s == 600
    assert settings.steps == 3 * 625


@pytest.mark.parametrize(("order", "steps", "time_s"), [
    ({"steps": 7}, 7, None), ({"time_s": 60.0}, None, 60.0), ({"epochs": 2.0}, 1_250, None),
    ({"steps": 7, "time_s": 60.0}, 7, 60.0),
])  # fmt: skip
def test_the_limits_that_are_given_are_the_limits(
    order: dict[str, Any], steps: int | None, time_s: float | None
) -> None:
    settings = planned(**order).settings
    assert (settings.steps, settings.time_s) == (steps, time_s)


def test_little_text_trains_few_numbers_and_says_that_it_is_little() -> None:
    found = planned(material=replace(MATERIAL, tokens=300, held_out=0, distinct=100))
    assert found.settings.method == "lora"
    assert any("very little text" in text for text in found.warnings)
    assert any("nothing is held out" in text for text in found.warnings)


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_as_many_numbers_learn_beside_others_as_the_plan_says(family: str) -> None:
    config = {**CONFIGS[family], "vocab_size": 96}
    network = new_network(config, 0)
    make_trainable(network, "lora", 1, 4, half=False)
    start = Start("one", "one", config, (), lambda name: np.zeros(0), b"", None, {}, {})
    said = learning_size(shape_of_start(start), replace(planned().settings, first=1, rank=4))
    learning = sum(one.numel() for one in trained_parameters(network).values())
    assert said == learning


@pytest.mark.parametrize(("time_s", "said"), [(40.0, "40 s"), (90.0, "1.5 min"), (150.0, "2.5 min"), (300.0, "5 min"),
                                              (1_230.0, "20 min"), (9_000.0, "2.5 h"), (7_200.0, "2 h")])  # fmt: skip
def test_the_time_that_was_given_is_said_as_it_was_given(time_s: float, said: str) -> None:
    assert words(planned(time_s=time_s))["time"].startswith(f"{said};")


def test_small_matrices_stand_beside_all_blocks_where_there_is_enough_text() -> None:
    enough, little = planned(), planned(material=replace(MATERIAL, tokens=10_000))
    assert (enough.settings.method, enough.settings.first) == ("lora", 0)
    assert little.settings.first == 20
    assert "beside those of all 30 blocks" in words(enough)["method"]


def test_wider_bases_learn_with_smaller_steps_unless_a_rate_is_given() -> None:
    wide = planned(replace(SHAPE, width=1152)).settings
    assert wide.rate == pytest.approx(planned().settings.rate / 2)
    assert planned(rate=3e-4).settings.rate == 3e-4


def test_a_method_that_is_asked_for_is_taken() -> None:
    found = planned(method="full", time_s=60.0)
    assert found.settings.method == "full"
    assert found.settings.first == 0
    assert "as asked" in words(found)["method"]


def test_every_decision_has_a_line() -> None:
    assert list(words(planned(time_s=60.0))) == [
        "base", "text", "method", "rows", "precision", "softmax", "memory", "time",
    ]  # fmt: skip


def test_hidden_values_are_kept_where_the_text_is_gone_through_more_than_once() -> None:
    assert not planned(time_s=60.0, method="lora").settings.keeps
    found = planned(material=replace(MATERIAL, tokens=10_000), time_s=600.0, method="lora")
    assert found.settings.keeps
    assert "computed once" in words(found)["kept"]


def test_the_softmax_is_restricted_where_the_text_has_few_of_the_tokens() -> None:
    assert planned().settings.restricted
    assert not planned(material=replace(MATERIAL, distinct=40_000)).settings.restricted


def test_what_does_not_fit_shrinks_and_says_so() -> None:
    whole = memory_bytes(SHAPE, MATERIAL, planned().settings)
    found = planned(powers={"free_bytes": 0.9 * whole / 0.8})
    assert found.memory_bytes < whole
    assert "to fit into memory" in words(found)["method"]


def test_what_fits_in_no_way_is_refused_with_both_numbers() -> None:
    with pytest.raises(HandrailError, match=r"needs about \d+\.\d GB of memory, 1\.0 GB are free") as caught:
        planned(powers={"free_bytes": 2**30})
    assert caught.value.code == "environment"


def test_conversations_get_rows_as_long_as_they_are() -> None:
    talk = replace(MATERIAL, is_dialogue=True, longest=400)
    assert planned(material=talk).settings.length == 512
    assert planned(material=replace(talk, longest=90_000)).settings.length == 1_024


def test_rows_are_no_longer_than_the_text_or_what_the_base_sees() -> None:
    assert planned(material=replace(MATERIAL, tokens=50)).settings.length == 49
    assert planned(shape=replace(SHAPE, context=100)).settings.length == 100


def test_longer_trainings_take_larger_steps() -> None:
    batches = [planned(time_s=time_s).settings.batch for time_s in (60.0, 1_800.0, 86_400.0)]
    assert batches == [2, 4, 8]


def test_a_plan_is_the_same_for_the_same_givens() -> None:
    assert planned() == planned()


def test_looking_at_held_out_text_is_part_of_the_time_that_is_told() -> None:
    little, much = (planned(material=replace(MATERIAL, held_out=size), steps=10) for size in (0, 200_000))
    assert "10 steps; about 12 s" in words(little)["time"]
    assert "10 steps; about 19 min" in words(much)["time"]
