"""Charts as SVG: shapes only, stretched to the room there is; the words around them are HTML and keep their size."""

from collections.abc import Sequence
from dataclasses import dataclass

from ziggurat.convert.text import escaped

WIDTH, HEIGHT = 1000, 200
"""Units of a chart's own grid; the page decides how large it is."""

BAR_HEIGHT = 20
"""Units of the height of a bar of shares."""

GAP = 0.12
"""Share of a histogram's step that stays empty."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole: its class on the page, its words and its size."""

    kind: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Words:
    """What a chart says to those who do not see it."""

    title: str
    description: str


def _svg(kind: str, height: int, words: Words, shapes: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escaped(words.title)}. {escaped(words.description, 1000)}">'
        f"<title>{escaped(words.title)}</title><desc>{escaped(words.description, 1000)}</desc>{shapes}</svg>"
    )


def shares(parts: Sequence[Share], words: Words) -> str:
    """One bar, divided. A part that is not nothing is seen, however small."""
    whole = sum(part.value for part in parts)
    if whole <= 0:
        return ""
    widths = [max(part.value / whole * WIDTH, 3.0 if part.value > 0 else 0.0) for part in parts]
    scale = WIDTH / sum(widths)
    at = 0.0
    shapes = []
    for part, width in zip(parts, widths, strict=True):
        shapes.append(
            f'<rect class="{part.kind}" x="{at:.1f}" y="0" width="{width * scale:.1f}" height="{BAR_HEIGHT}">'
            f"<title>{escaped(part.name)}</title></rect>"
        )
        at += width * scale
    return _svg("bar", BAR_HEIGHT, words, "".join(shapes))


def histogram(values: Sequence[float], titles: Sequence[str], words: Words) -> str:
    """Upright bars of equal width; each says its numbers when pointed at."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    step = WIDTH / len(values)
    shapes = []
    for at, (value, title) in enumerate(zip(values, titles, strict=True)):
        height = max(value / top * HEIGHT, 2.0) if value > 0 else 0.0
        shapes.append(
            f'<rect class="column" x="{(at + GAP / 2) * step:.1f}" y="{HEIGHT - height:.1f}"'
            f' width="{step * (1 - GAP):.1f}" height="{height:.1f}"><title>{escaped(title)}</title></rect>'
        )
    return _svg("chart", HEIGHT, words, _grid() + "".join(shapes))


def area(
    steps: Sequence[tuple[float, float, float]], marks: Sequence[float], ends: tuple[float, float], words: Words
) -> str:
    """A stepped area: begin, end and value of every step, with upright marks.

    Args:
        steps: in order, without gaps.
        marks: positions of the marks.
        ends: of the horizontal axis, and of the vertical one, both from 0.
        words: for those who do not see it.
    """
    right, top = ends
    if right <= 0 or top <= 0:
        return ""
    line = " ".join(
        f"{x / right * WIDTH:.1f},{HEIGHT - value / top * HEIGHT:.1f}"
        for begin, end, value in steps
        for x in (begin, end)
    )
    shapes = (
        f'<polygon class="area" points="0,{HEIGHT} {line} {WIDTH},{HEIGHT}"/><polyline class="line" points="{line}"/>'
    )
    cuts = "".join(
        f'<line class="cut" x1="{x / right * WIDTH:.1f}" y1="0" x2="{x / right * WIDTH:.1f}" y2="{HEIGHT}"/>'
        for x in marks
    )
    return _svg("chart", HEIGHT, words, _grid() + shapes + cuts)


def points(places: Sequence[tuple[float, float, str]], ends: tuple[float, float], words: Words) -> str:
    """Points, each with its words when pointed at, and a line through the highest so far from the left.

    Args:
        places: position to the right, position upwards and words, from left to right.
        ends: of the horizontal axis, and of the vertical one, both from 0.
        words: for those who do not see it.
    """
    right, top = ends
    if right <= 0 or top <= 0:
        return ""
    drawn = [(x / right * WIDTH, HEIGHT - y / top * HEIGHT, told) for x, y, told in places]
    # A mark is wider than high in the chart's own units: as the page stretches them it comes out round.
    marks = "".join(
        f'<ellipse class="column" cx="{x:.1f}" cy="{y:.1f}" rx="6" ry="5"><title>{escaped(told)}</title></ellipse>'
        for x, y, told in drawn
    )
    above = [(x, y) for at, (x, y, _) in enumerate(drawn) if all(y < other for _, other, _ in drawn[:at])]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in above)
    return _svg("chart", HEIGHT, words, _grid() + f'<polyline class="line" points="{line}"/>{marks}')


def _grid() -> str:
    return "".join(f'<line class="grid" x1="0" y1="{y}" x2="{WIDTH}" y2="{y}"/>' for y in (0, HEIGHT // 2, HEIGHT))


def nice(value: float) -> float:
    """The least round number, by its first digits, that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 10.0**-3
    while power * 10 < value:
        power *= 10
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value)
