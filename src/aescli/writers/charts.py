"""Small charts as SVG text: no script, no font, no network; colours come from the page's style sheet by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
_LEFT, _RIGHT, _ROW = 260, 70, 22


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of a dot plot: a value with its interval; `kind` is a class of the style sheet."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    kind: str = "ours"


def dot_plot(title: str, dots: Sequence[Dot], *, zero: bool = False) -> str:
    """Return a horizontal dot plot with whiskers; `zero` draws a line at nought."""
    values = [number for dot in dots for number in (dot.value, dot.low, dot.high) if number is not None]
    scale = _Scale(
        min([*values, *([0.0] if zero else [])]), max([*values, *([0.0] if zero else [])]), _LEFT, WIDTH - _RIGHT
    )
    height = 40 + _ROW * len(dots)
    parts = [_ticks(scale, 22, height - 16)]
    if zero:
        parts.append(f'<line class="zero" x1="{scale(0):.1f}" x2="{scale(0):.1f}" y1="22" y2="{height - 16}"/>')
    for at, dot in enumerate(dots):
        y = 34 + _ROW * at
        parts.append(f'<text class="label" x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{_cut(dot.label)}</text>')
        if dot.low is not None and dot.high is not None:
            ends = f'x1="{scale(dot.low):.1f}" x2="{scale(dot.high):.1f}"'
            parts.append(f'<line class="whisker {dot.kind}" {ends} y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="{dot.kind}" cx="{scale(dot.value):.1f}" cy="{y}" r="4.5"/>')
        parts.append(f'<text class="value" x="{WIDTH - _RIGHT + 12}" y="{y + 4}">{dot.value:.3f}</text>')
    return _svg(title, height, parts)


def bar_chart(title: str, labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[float | None]]]) -> str:
    """Return horizontal bars of shares, 0 to 1: for each label one bar of each series (name, kind, values)."""
    scale = _Scale(0, 1, _LEFT, WIDTH - _RIGHT, exact=True)
    thick, parts, y = 12, [], 30.0
    for at, label in enumerate(labels):
        middle = y + thick * len(series) / 2 + 4
        parts.append(f'<text class="label" x="{_LEFT - 12}" y="{middle:.1f}" text-anchor="end">{_cut(label)}</text>')
        for name, kind, values in series:
            value = values[at]
            if value is not None:
                width = scale(value) - scale(0)
                parts.append(
                    f'<rect class="{kind}" x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{thick - 2}">'
                    f"<title>{escape(name)}: {value:.3f}</title></rect>"
                    f'<text class="value" x="{scale(value) + 5:.1f}" y="{y + thick - 3:.1f}">{100 * value:.1f}</text>'
                )
            y += thick
        y += 8
    height = round(y + 16)
    return _svg(title, height, [_ticks(scale, 22, height - 16), *parts])


def scatter(
    title: str, points: Sequence[tuple[float, float]], axes: tuple[str, str], line: Sequence[tuple[float, float]] = ()
) -> str:
    """Return points as x and y, square, with a line through `line`."""
    size, margin = 330, 46
    everything = [*points, *line]
    x = _Scale(min(p[0] for p in everything), max(p[0] for p in everything), margin, size - 10)
    y = _Scale(min(p[1] for p in everything), max(p[1] for p in everything), size - margin, 24)
    parts = [f'<circle class="point" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2"/>' for a, b in points]
    if line:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        parts.append(f'<polyline class="fit" points="{path}"/>')
        parts += [f'<circle class="ours" cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5"/>' for a, b in line]
    for value in x.ticks():
        parts.append(
            f'<text class="tick" x="{x(value):.1f}" y="{size - margin + 16}" text-anchor="middle">{value:g}</text>'
        )
    for value in y.ticks():
        parts.append(f'<text class="tick" x="{margin - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    bottom = size - margin
    parts.append(f'<polyline class="axis" points="{margin},24 {margin},{bottom} {size - 10},{bottom}"/>')
    parts.append(f'<text class="tick" x="{size / 2}" y="{size - 8}" text-anchor="middle">{escape(axes[0])}</text>')
    parts.append(f'<text class="tick" x="{margin}" y="14">{escape(axes[1])}</text>')
    return _svg(title, size, parts, width=size)


class _Scale:
    """Maps numbers to pixels; ends are widened to round numbers unless `exact`."""

    def __init__(self, low: float, high: float, start: float, end: float, *, exact: bool = False) -> None:
        if low == high:
            low, high = low - 0.5, high + 0.5
        self._step = _round_step((high - low) / 5)
        self._low = low if exact else (low // self._step) * self._step
        self._high = high if exact else -(-high // self._step) * self._step
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self._low) / (self._high - self._low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        count = round((self._high - self._low) / self._step)
        return [round(self._low + at * self._step, 9) for at in range(count + 1)]


def _round_step(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten, next above `step`."""
    power = 1.0
    while power > step:
        power /= 10
    while power * 10 <= step:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _ticks(scale: _Scale, top: float, bottom: float) -> str:
    lines = [
        f'<line class="grid" x1="{scale(value):.1f}" x2="{scale(value):.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{scale(value):.1f}" y="{bottom + 14}" text-anchor="middle">{value:g}</text>'
        for value in scale.ticks()
    ]
    return "".join(lines)


def _svg(title: str, height: float, parts: Sequence[str], width: float = WIDTH) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {box} role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def _cut(text: str, most: int = 33) -> str:
    return escape(text if len(text) <= most else f"{text[: most - 1]}\u2026")
