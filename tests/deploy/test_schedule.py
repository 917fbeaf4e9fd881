"""When a task runs: in UTC, once for what was missed, and never twice for one moment, whatever the clock does."""

from __future__ import annotations

import pytest

from handrail.core.errors import HandrailError
from handrail.deploy.schedule import DAY_S, Schedule, next_run, schedule_of

HOUR = 3600
# 2026-11-25 00:00:00 UTC.
MIDNIGHT = 1_795_564_800
EVERY_DAY = schedule_of("every 24h")
AT_THREE = schedule_of("daily 03:00")


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("every 24h", Schedule(DAY_S)),
        ("every 30m", Schedule(1800)),
        ("every 1h30m", Schedule(5400)),
        (" every 10s ", Schedule(10)),
        ("every 2d", Schedule(2 * DAY_S)),
        ("daily 03:00", Schedule(DAY_S, 3 * HOUR)),
        ("daily 3:05 UTC", Schedule(DAY_S, 3 * HOUR + 300)),
        ("daily 23:59", Schedule(DAY_S, DAY_S - 60)),
    ],
)
def test_a_schedule_is_read(text: str, schedule: Schedule) -> None:
    assert schedule_of(text) == schedule


@pytest.mark.parametrize(
    "text", ["", "daily", "daily 24:00", "daily 3:60", "every", "every 9s", "every 0h", "every 999999d", "0 3 * * *",
             "every -1h", "every 10 s", "every ١h", "every 24h; rm -rf"]
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(HandrailError, match="expected every") as error:
        schedule_of(text)
    assert error.value.field == "schedule"


def test_it_runs_a_period_after_it_ran() -> None:
    assert next_run(MIDNIGHT + 10, EVERY_DAY, MIDNIGHT) == MIDNIGHT + DAY_S


def test_it_runs_at_its_time_of_the_day() -> None:
    assert next_run(MIDNIGHT, AT_THREE, MIDNIGHT - HOUR) == MIDNIGHT + 3 * HOUR
    assert next_run(MIDNIGHT + 4 * HOUR, AT_THREE, MIDNIGHT + 3 * HOUR) == MIDNIGHT + DAY_S + 3 * HOUR


def test_one_that_never_ran_waits_for_its_time() -> None:
    assert next_run(MIDNIGHT, EVERY_DAY, None) == MIDNIGHT + DAY_S
    assert next_run(MIDNIGHT + 4 * HOUR, AT_THREE, None) == MIDNIGHT + DAY_S + 3 * HOUR


def test_what_was_missed_is_made_up_for_once() -> None:
    now = MIDNIGHT + 10 * DAY_S + 12 * HOUR
    for schedule in (EVERY_DAY, AT_THREE):
        assert next_run(now, schedule, MIDNIGHT) <= now
        assert next_run(now + 1, schedule, now) > now + 1


def test_it_does_not_run_again_when_the_clock_is_set_back_an_hour() -> None:
    ran = MIDNIGHT + 3 * HOUR + 5
    assert next_run(ran - HOUR, AT_THREE, ran) == MIDNIGHT + DAY_S + 3 * HOUR
    assert next_run(ran - HOUR, EVERY_DAY, ran) == ran - HOUR + DAY_S


@pytest.mark.parametrize("schedule", [EVERY_DAY, AT_THREE])
def test_a_run_in_a_year_that_is_to_come_is_not_believed(schedule: Schedule) -> None:
    assert MIDNIGHT < next_run(MIDNIGHT, schedule, MIDNIGHT + 365 * DAY_S) <= MIDNIGHT + DAY_S


@pytest.mark.parametrize("schedule", [EVERY_DAY, AT_THREE, schedule_of("every 10s")])
@pytest.mark.parametrize("jump", [-3 * DAY_S, -DAY_S, -HOUR, -1, 0, 1, HOUR, DAY_S, 3 * DAY_S])
def test_whatever_the_clock_does_it_runs_again_within_a_period(schedule: Schedule, jump: int) -> None:
    now = MIDNIGHT + 5 * HOUR + jump
    assert next_run(now, schedule, MIDNIGHT + 5 * HOUR) <= now + 2 * schedule.period_s
