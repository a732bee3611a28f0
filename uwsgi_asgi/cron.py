"""Crontab: when a task of uWSGI's cron is due next, by the clock on the wall.

The fields are uWSGI's (`uwsgi_cron_task_needs_execution`): a number says when, -1 any time, -n
every value that n divides, so that minute -5 is */5. A day of the month and a day of the week that
are both numbers are alternatives; Sunday is 0 or 7.

Where clocks are put forward or back it does as cron does, and uWSGI does not: a task of a given
hour runs once on each of its days, when the hour is left out as long after midnight as ever, when
it comes twice the first time. A task of any hour, or of every n-th, runs by each minute that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

__all__ = ["Crontab"]

MINUTE = 60.0
# What a field may be at most, and at least unless it is a step.
_BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "dayweek": (0, 7)}
# Days ahead that are looked at. A 29th of February is eight years off, where a century is no leap
# year; where it has to be a Sunday it never is later than forty.
HORIZON = 41 * 366


class Crontab(NamedTuple):
    """The five fields of a task."""

    minute: int
    hour: int
    day: int
    month: int
    dayweek: int

    def check(self) -> Crontab:
        """Return it; raise TypeError or ValueError for fields that no time can have."""
        for name, value in self._asdict().items():
            least, most = _BOUNDS[name]
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} is {value!r}: expected a number; -1 is any, -n every n-th")
            if not (value < 0 or least <= value <= most):
                raise ValueError(f"{name} is {value!r}: expected {least} to {most}, or -n")
        if self.next(0.0) is None:
            raise ValueError(f"{self}: there is no such day")
        return self

    def next(self, after: float, zone: tzinfo | None = None) -> float | None:
        """Return the first time after `after` when it is due, None if it never is.

        Times are seconds since the epoch. `zone` None: that of the machine.
        """
        if self.hour < 0:
            return self._next_minute(after, zone)
        for day in self._days(_local(after, zone).date()):
            for minute in range(60):
                if _matches(self.minute, minute):
                    # PEP 495: one that is left out is as far from midnight as if it were not, one
                    # that comes twice is the first.
                    wall = datetime.combine(day, time(self.hour, minute), zone)
                    if wall.timestamp() > after:
                        return wall.timestamp()
        return None

    def _next_minute(self, after: float, zone: tzinfo | None) -> float | None:
        """Look at the minutes that are, one after the other, and leave out days and hours."""
        moment = after // MINUTE * MINUTE + MINUTE
        for day in self._days(_local(moment, zone).date()):
            moment = max(moment, datetime.combine(day, time(), zone).timestamp())
            # Where clocks are put back past midnight a day begins, stops, and begins again.
            while (wall := _local(moment, zone)).date() <= day:
                if wall.date() < day or not _matches(self.hour, wall.hour):
                    moment += (60 - wall.minute) * MINUTE
                elif not _matches(self.minute, wall.minute):
                    moment += MINUTE
                else:
                    return moment
        return None

    def _days(self, first: date) -> Iterator[date]:
        """Yield the days on which it is due."""
        for number in range(HORIZON):
            day = first + timedelta(days=number)
            if _matches(self.month, day.month) and self._has_day(day):
                yield day

    def _has_day(self, day: date) -> bool:
        of_month = _matches(self.day, day.day)
        of_week = _matches(self.dayweek % 7 if self.dayweek > 0 else self.dayweek,
                           day.isoweekday() % 7)  # fmt: skip
        if self.day >= 0 and self.dayweek >= 0:
            return of_month or of_week
        return of_month and of_week


def _local(moment: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(moment, zone)


def _matches(field: int, value: int) -> bool:
    return value == field if field >= 0 else value % -field == 0
