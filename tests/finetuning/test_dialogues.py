"""Conversations through chat templates, answers apart from questions."""

from __future__ import annotations

import pytest

from handrail.encode.chat import Chat
from handrail.finetuning.dialogues import PLAIN_TEMPLATE, rendering

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TALK = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who sold rye?"},
    {"role": "assistant", "content": "Anna."},
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": "Near the mill."},
)


@pytest.mark.parametrize("template", [CHATML, PLAIN_TEMPLATE])
def test_each_answer_is_learnt_with_what_closes_it_and_nothing_is_lost(template: str) -> None:
    chat = Chat(template, {"eos_token": "<end>"})
    pieces = list(rendering(chat)(TALK))
    assert "".join(piece.text for piece in pieces) == chat.prompt(TALK, opens=False).rstrip("\n")
    learnt = [piece.text for piece in pieces if piece.learnt]
    close = "<|im_end|>" if template == CHATML else "<end>"
    assert learnt == [f"Anna.{close}", f"Near the mill.{close}"]


def test_what_is_said_after_the_last_answer_is_left_out() -> None:
    pieces = list(rendering(Chat(CHATML))((*TALK, {"role": "user", "content": "Thanks!"})))
    assert not any("Thanks" in piece.text for piece in pieces)


def test_a_template_that_writes_answers_otherwise_than_it_opens_them_is_followed() -> None:
    thinks = CHATML.replace("assistant\n' }}{% endif", "assistant\n<think>' }}{% endif")
    pieces = list(rendering(Chat(thinks))(TALK[1:3]))
    assert pieces[-1].text == "Anna.<|im_end|>"
