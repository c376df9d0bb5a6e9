"""A picture of how cost grows, as SVG: both axes logarithmic, measured points joined, the expected slope dashed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 300, 62, 12, 34, 46
INK, MEASURED, EXPECTED = "#444", "#0b62a4", "#a0522d"
FLAT = 1.6  # the least ratio between the ends of the upright axis


@dataclass(frozen=True, kw_only=True)
class Line:
    """One quantity measured at several places. `slope`: d log y / d log x that is expected."""

    title: str
    x_title: str
    y_title: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    slope: float

    @property
    def found(self) -> float:
        """The slope of the straight line that fits the logarithms best."""
        xs, ys = [math.log(v) for v in self.x], [math.log(v) for v in self.y]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        away = sum((x - mean_x) ** 2 for x in xs)
        return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / away

    @property
    def expected(self) -> tuple[float, ...]:
        """The expected line, through the last point: there what does not grow weighs least."""
        return tuple(self.y[-1] * (x / self.x[-1]) ** self.slope for x in self.x)


def svg(line: Line) -> str:
    """The picture of one line; every number that is drawn stands beside its point."""
    low, high = min(*line.y, *line.expected), max(*line.y, *line.expected)
    if high / low < FLAT:
        low, high = low / FLAT, high * FLAT

    def right(x: float) -> float:
        span = math.log(line.x[-1] / line.x[0])
        return LEFT + math.log(x / line.x[0]) / span * (WIDTH - LEFT - RIGHT - 24)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - math.log(y / low) / math.log(high / low) * (HEIGHT - TOP - BOTTOM - 12)

    def text(x: float, y: float, words: str, *, anchor: str = "middle", turn: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{escape(words)}</text>'

    def path(ys: tuple[float, ...], look: str) -> str:
        points = " ".join(f"{right(x):.1f},{down(y):.1f}" for x, y in zip(line.x, ys, strict=True))
        return f'<polyline points="{points}" fill="none" {look}/>'

    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            f'font-size="11" fill="{INK}">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(WIDTH / 2, 16, f"{line.title}: slope {line.found:.2f}, expected {line.slope:g}"),
        f'<path d="M{LEFT - 8} {TOP}V{HEIGHT - BOTTOM + 6}H{WIDTH - RIGHT}" fill="none" stroke="{INK}"/>',
        text(WIDTH / 2, HEIGHT - 8, line.x_title),
        text(14, middle, line.y_title, turn=f' transform="rotate(-90 14 {middle:.1f})"'),
        path(line.expected, f'stroke="{EXPECTED}" stroke-dasharray="5 4"'),
        path(line.y, f'stroke="{MEASURED}" stroke-width="2"'),
    ]
    for x, y in zip(line.x, line.y, strict=True):
        parts.append(f'<circle cx="{right(x):.1f}" cy="{down(y):.1f}" r="3" fill="{MEASURED}"/>')
        parts.append(text(right(x), down(y) - 7, f"{y:.3g}"))
        parts.append(text(right(x), HEIGHT - BOTTOM + 20, f"{x:g}"))
    return "\n".join((*parts, "</svg>", ""))
