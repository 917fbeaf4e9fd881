"""What takes long is not waited for once it is stopped."""

from __future__ import annotations

import threading

import pytest

from handrail.learn.clock import Clock, unless


def test_an_act_gives_what_it_gives() -> None:
    assert unless(lambda: False, lambda: 7) == 7


def test_an_act_that_fails_says_so() -> None:
    with pytest.raises(ZeroDivisionError):
        unless(lambda: False, lambda: 1 // 0)


def test_an_act_without_an_end_is_left_alone_once_it_is_stopped() -> None:
    clock, ended = Clock(None), threading.Event()

    def act() -> bool:
        clock.stop()
        return ended.wait()

    with pytest.raises(TimeoutError):
        unless(clock.stopped, act)
    ended.set()
