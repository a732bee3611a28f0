"""When a cron task is due: a table of fields, times and what comes next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from uwsgi_asgi.cron import Crontab

# Central Europe in POSIX's words, so that no machine needs a database of zones. Lord Howe's clocks
# go by half an hour.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
LORD_HOWE = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
FOREVER = (-1, -1, -1, -1, -1)


@pytest.fixture(params=[BERLIN])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The zone of the machine, as long as the test runs."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def stamp(text: str) -> float:
    """Return the time of an ISO text with an offset."""
    return datetime.fromisoformat(text).timestamp()


def next_times(fields: tuple[int, ...], after: str, count: int) -> list[str]:
    """Return the next times as the clock on the wall has them, with the hour of UTC behind."""
    moment: float | None = stamp(after)
    found = []
    for _ in range(count):
        assert moment is not None
        moment = Crontab(*fields).next(moment)
        assert moment is not None
        utc = datetime.fromtimestamp(moment, timezone.utc)
        found.append(f"{utc.astimezone():%a %Y-%m-%d %H:%M} {utc:%HZ}")
    return found


# minute, hour, day, month, dayweek; after; next
ORDINARY = [
    (FOREVER, "2026-01-01T12:00:00+01:00", ["Thu 2026-01-01 12:01 11Z"]),
    (FOREVER, "2026-01-01T12:00:59.900+01:00", ["Thu 2026-01-01 12:01 11Z"]),
    ((-5, -1, -1, -1, -1), "2026-01-01T12:58:00+01:00",
     ["Thu 2026-01-01 13:00 12Z", "Thu 2026-01-01 13:05 12Z"]),
    # every seventh minute of the hour, not every seventh minute
    ((-7, -1, -1, -1, -1), "2026-01-01T12:50:00+01:00",
     ["Thu 2026-01-01 12:56 11Z", "Thu 2026-01-01 13:00 12Z"]),
    ((30, -6, -1, -1, -1), "2026-01-01T12:30:00+01:00",
     ["Thu 2026-01-01 18:30 17Z", "Fri 2026-01-02 00:30 23Z"]),
    ((0, 3, -1, -1, -1), "2026-01-31T03:00:00+01:00", ["Sun 2026-02-01 03:00 02Z"]),
    ((0, 3, -1, -1, -1), "2026-01-31T02:59:59+01:00", ["Sat 2026-01-31 03:00 02Z"]),
    ((-20, 3, -1, -1, -1), "2026-01-01T03:20:00+01:00",
     ["Thu 2026-01-01 03:40 02Z", "Fri 2026-01-02 03:00 02Z"]),
    # days of the week: Sunday is 0 and 7; -2 is Sunday, Tuesday, Thursday and Saturday
    ((0, 0, -1, -1, 0), "2026-01-01T12:00:00+01:00", ["Sun 2026-01-04 00:00 23Z"]),
    ((0, 0, -1, -1, 7), "2026-01-01T12:00:00+01:00", ["Sun 2026-01-04 00:00 23Z"]),
    ((0, 0, -1, -1, -2), "2026-01-03T12:00:00+01:00",
     ["Sun 2026-01-04 00:00 23Z", "Tue 2026-01-06 00:00 23Z"]),
    # a day of the month or a day of the week, if both are numbers; else both
    ((0, 0, 13, -1, 5), "2026-02-08T00:00:00+01:00",
     ["Fri 2026-02-13 00:00 23Z", "Fri 2026-02-20 00:00 23Z", "Fri 2026-02-27 00:00 23Z",
      "Fri 2026-03-06 00:00 23Z", "Fri 2026-03-13 00:00 23Z"]),
    ((0, 0, -10, -1, 5), "2026-02-08T00:00:00+01:00", ["Fri 2026-02-20 00:00 23Z"]),
    # days that a month does not have
    ((0, 12, 31, -1, -1), "2026-01-31T12:00:00+01:00",
     ["Tue 2026-03-31 12:00 10Z", "Sun 2026-05-31 12:00 10Z"]),
    ((0, 12, 29, 2, -1), "2026-01-01T00:00:00+01:00",
     ["Tue 2028-02-29 12:00 11Z", "Sun 2032-02-29 12:00 11Z"]),
    ((0, 12, 29, 2, -1), "2096-03-01T00:00:00+01:00", ["Fri 2104-02-29 12:00 11Z"]),
    ((0, 0, 1, 1, -1), "2026-12-31T23:59:59+01:00", ["Fri 2027-01-01 00:00 23Z"]),
    ((0, 0, 1, -3, -1), "2026-03-01T00:00:00+01:00", ["Mon 2026-06-01 00:00 22Z"]),
]  # fmt: skip

# In 2026 the clocks of Central Europe go from 02:00 to 03:00 on March 29, and from 03:00 to 02:00
# on October 25.
CHANGES = [
    ((30, 2, -1, -1, -1), "2026-03-28T00:00:00+01:00",
     ["Sat 2026-03-28 02:30 01Z", "Sun 2026-03-29 03:30 01Z", "Mon 2026-03-30 02:30 00Z"]),
    ((30, 3, -1, -1, -1), "2026-03-28T12:00:00+01:00",
     ["Sun 2026-03-29 03:30 01Z", "Mon 2026-03-30 03:30 01Z"]),
    ((30, -1, -1, -1, -1), "2026-03-29T01:00:00+01:00",
     ["Sun 2026-03-29 01:30 00Z", "Sun 2026-03-29 03:30 01Z"]),
    ((30, 2, -1, -1, -1), "2026-10-24T12:00:00+02:00",
     ["Sun 2026-10-25 02:30 00Z", "Mon 2026-10-26 02:30 01Z"]),
    # asked between the two
    ((30, 2, -1, -1, -1), "2026-10-25T02:10:00+01:00", ["Mon 2026-10-26 02:30 01Z"]),
    ((30, -1, -1, -1, -1), "2026-10-25T01:30:00+02:00",
     ["Sun 2026-10-25 02:30 00Z", "Sun 2026-10-25 02:30 01Z", "Sun 2026-10-25 03:30 02Z"]),
    ((0, -2, -1, -1, -1), "2026-10-25T00:30:00+02:00",
     ["Sun 2026-10-25 02:00 00Z", "Sun 2026-10-25 02:00 01Z", "Sun 2026-10-25 04:00 03Z"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "after", "expected"), [*ORDINARY, *CHANGES])
def test_the_next_times_are(
    zone: str, fields: tuple[int, ...], after: str, expected: list[str]
) -> None:
    assert next_times(fields, after, len(expected)) == expected


@pytest.mark.parametrize("zone", [LORD_HOWE], indirect=True)
def test_clocks_may_go_by_half_an_hour(zone: str) -> None:
    # From 02:00 to 02:30 on October 4, from 02:00 to 01:30 on April 5.
    assert next_times((15, 2, -1, -1, -1), "2026-10-03T12:00:00+10:30", 2) == [
        "Sun 2026-10-04 02:45 15Z",
        "Mon 2026-10-05 02:15 15Z",
    ]
    assert next_times((45, -1, -1, -1, -1), "2026-04-05T01:30:00+11:00", 3) == [
        "Sun 2026-04-05 01:45 14Z",
        "Sun 2026-04-05 01:45 15Z",
        "Sun 2026-04-05 02:45 16Z",
    ]


@pytest.mark.parametrize("zone", ["UTC0"], indirect=True)
def test_the_zone_may_be_another_than_the_machines(zone: str) -> None:
    if not Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        pytest.skip("no database of time zones")
    berlin = ZoneInfo("Europe/Berlin")
    found = Crontab(30, 2, -1, -1, -1).next(stamp("2026-03-28T12:00:00+01:00"), berlin)
    assert found == stamp("2026-03-29T03:30:00+02:00")


@pytest.mark.parametrize("zone", ["NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01"], indirect=True)
def test_a_day_may_begin_twice(zone: str) -> None:
    """St. John's put its clocks back at a minute past midnight, to the day before."""
    assert next_times((30, -1, -1, -1, 0), "2026-10-31T23:30:00-02:30", 2) == [
        "Sun 2026-11-01 00:30 04Z",
        "Sun 2026-11-01 01:30 05Z",
    ]


def test_every_minute_of_a_year_with_two_changes_comes_once(zone: str) -> None:
    """What steps by hours, days and changes leaves out nothing, and repeats nothing."""
    begin, end = stamp("2026-01-01T00:00:00+01:00"), stamp("2027-01-01T00:00:00+01:00")
    found, moment = [], begin
    while moment is not None and moment < end:
        moment = Crontab(0, -1, -1, -1, -1).next(moment)
        found.append(moment)
    assert len(found) == 365 * 24
    assert all(later - earlier == 3600 for earlier, later in pairwise(found))


def brute(fields: Crontab, after: float) -> float:
    """Return the next time as uWSGI finds it, a look a minute."""
    moment = after // 60 * 60 + 60
    while True:
        wall = datetime.fromtimestamp(moment, timezone.utc).astimezone()
        values = (wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7)
        hits = [
            value == field if field >= 0 else value % -field == 0
            for field, value in zip(fields, values, strict=True)
        ]
        has_both = fields.day >= 0 and fields.dayweek >= 0
        if all(hits[:2]) and hits[3] and (any(hits[2::2]) if has_both else all(hits[2::2])):
            return moment
        moment += 60


@pytest.mark.parametrize("minute", [0, 59, -1, -13])
@pytest.mark.parametrize("hour", [0, 23, -1, -5])
@pytest.mark.parametrize(("day", "month", "dayweek"), [(-1, -1, -1), (9, -1, 3), (-4, -2, -1)])
def test_away_from_changes_it_is_what_a_look_a_minute_finds(
    zone: str, minute: int, hour: int, day: int, month: int, dayweek: int
) -> None:
    crontab = Crontab(minute, hour, day, month, dayweek)
    for hours in (0, 300):
        after = stamp("2026-05-03T10:20:30+02:00") + timedelta(hours=hours).total_seconds()
        assert crontab.next(after) == brute(crontab, after)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((60, -1, -1, -1, -1), "minute is 60: expected 0 to 59, or -n"),
        ((0, 24, -1, -1, -1), "hour is 24: expected 0 to 23, or -n"),
        ((0, 0, 0, -1, -1), "day is 0: expected 1 to 31, or -n"),
        ((0, 0, -1, 13, -1), "month is 13: expected 1 to 12, or -n"),
        ((0, 0, -1, -1, 8), "dayweek is 8: expected 0 to 7, or -n"),
        ((0, 0, 31, 2, -1), "there is no such day"),
        ((0, 0, -40, -1, -1), "there is no such day"),
    ],
)
def test_what_never_comes_is_refused(fields: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Crontab(*fields).check()


def test_a_field_is_a_number() -> None:
    with pytest.raises(TypeError, match="minute is '5': expected a number"):
        Crontab("5", -1, -1, -1, -1).check()  # type: ignore[arg-type]
