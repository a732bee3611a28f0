"""The plot of a soak: SVG, written by hand, a panel for each figure.

A line is the sum over the processes of one role. Reloads are grey lines, kills red ones; what is
left of the dashed line does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from tests.soak.ledger import KILL, LATE
from tests.soak.run import Outcome
from tests.soak.samples import NEW, Sample

__all__ = ["draw"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 110, 70, 30, 34
RIGHT = 150
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2")
MARKS = {True: "#d62728", False: "#dddddd"}
#: Points of a line, at most: a picture has no more pixels.
POINTS = 600

Line = list[tuple[float, float]]
Of = Callable[[Sample], dict[str, float]]


@dataclass(frozen=True)
class Panel:
    """One figure; `unit` of `size` is what it is shown in."""

    title: str
    of: Of
    size: float = 1.0


def _by_role(figure: str) -> Of:
    def of(sample: Sample) -> dict[str, float]:
        found: dict[str, float] = {}
        for pid, figures in sample.processes.items():
            if sample.roles[pid] != NEW and figure in figures:
                role = sample.roles[pid]
                found[role] = found.get(role, 0.0) + figures[figure]
        return found

    return of


def _of_layer(*names: str) -> Of:
    return lambda sample: {name: sample.layer[name] for name in names}


PANELS = (
    Panel("Memory (PSS), MB", _by_role("memory"), 1e6),
    Panel("Descriptors that are sockets", _by_role("sockets")),
    Panel("Other descriptors", _by_role("files")),
    Panel("Threads", _by_role("threads")),
    Panel("Greenlets", _by_role("greenlets")),
    Panel("Connections", _by_role("connections")),
    Panel("WebSockets", _by_role("websockets")),
    Panel("Objects, thousands", _by_role("objects"), 1e3),
    Panel("Layer: entries and pages", _of_layer("entries", "pages")),
    Panel("Layer: messages that wait, groups", _of_layer("messages that wait", "groups")),
)


def draw(outcome: Outcome) -> str:
    """Return the picture."""
    samples = outcome.samples[:: max(1, len(outcome.samples) // POINTS)]
    end = max(outcome.plan.seconds + outcome.plan.calm, 1.0)
    canvas = _Canvas(outcome.started, end)
    for mark in outcome.ledger.marks:
        if mark.what != LATE:
            canvas.rule(mark.at, MARKS[mark.what == KILL])
    canvas.rule(outcome.started + outcome.plan.settle, "#000000", dashes=True)
    for number, panel in enumerate(PANELS):
        canvas.panel(number, panel.title, dict(_lines(samples, panel)))
    return canvas.finish()


def _lines(samples: Sequence[Sample], panel: Panel) -> Iterator[tuple[str, Line]]:
    found = [(sample.at, panel.of(sample)) for sample in samples]
    for name in sorted({name for _, figures in found for name in figures}):
        yield name, [(at, figures[name] / panel.size) for at, figures in found if name in figures]


class _Canvas:
    """Panels one below the other, over one time."""

    def __init__(self, started: float, seconds: float) -> None:
        self._started = started
        self._seconds = seconds
        self._parts: list[str] = []
        self._height = TOP + len(PANELS) * (HEIGHT + GAP)

    def rule(self, at: float, colour: str, *, dashes: bool = False) -> None:
        """Draw a moment through all panels."""
        x = self._x(at)
        style = ' stroke-dasharray="4 3"' if dashes else ""
        self._parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 10}" y2="{self._height - GAP}" '
            f'stroke="{colour}"{style}/>'
        )

    def panel(self, number: int, title: str, lines: dict[str, Line]) -> None:
        """Draw lines below each other's panels, from 0 to the highest figure."""
        top = TOP + number * (HEIGHT + GAP)
        highest = max((y for line in lines.values() for _, y in line), default=0.0) or 1.0
        self._text(LEFT, top - 5, title, weight="bold")
        self._text(LEFT - 6, top + 10, f"{highest:,.4g}", anchor="end")
        self._text(LEFT - 6, top + HEIGHT, "0", anchor="end")
        self._parts.append(
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT}" '
            'fill="none" stroke="#888888"/>'
        )
        for place, (name, line) in enumerate(lines.items()):
            colour = COLOURS[place % len(COLOURS)]
            points = " ".join(
                f"{self._x(at):.1f},{top + HEIGHT * (1 - y / highest):.1f}" for at, y in line
            )
            self._parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
            self._text(WIDTH - RIGHT + 8, top + 14 + 16 * place, name, colour=colour)

    def finish(self) -> str:
        """Return the picture, with its minutes below."""
        for minute in range(int(self._seconds // 60) + 1):
            if minute % 5 == 0:
                x = self._x(self._started + minute * 60)
                self._text(x, self._height - GAP + 16, f"{minute} min", anchor="middle")
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self._height}" '
            f'viewBox="0 0 {WIDTH} {self._height}" font-family="sans-serif" font-size="11">'
        )
        ground = f'<rect width="{WIDTH}" height="{self._height}" fill="white"/>'
        return "\n".join([head, ground, *self._parts, "</svg>\n"])

    def _x(self, at: float) -> float:
        part = (at - self._started) / self._seconds
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, part))

    def _text(
        self, x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal",
        colour: str = "#333333",
    ) -> None:  # fmt: skip
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{colour}">{escape(text)}</text>'
        )
