"""Curves as SVG, for the documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

type Points = Sequence[tuple[float, float]]

mpl.rcParams["svg.fonttype"] = "none"
mpl.rcParams["svg.hashsalt"] = "ziggurat"

OURS = "Ziggurat"

COLOURS = ("#4477aa", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Of peers, in their order: told apart by those who do not see all colours (after Paul Tol's bright scheme)."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What a chart shows.

    Attributes:
        title: above it.
        x: what grows.
        y: what it costs.
    """

    title: str
    x: str
    y: str


def curves(path: Path, axes: Axes, lines: Mapping[str, Points]) -> None:
    """Draws a chart with logarithmic axes into a file, the package's own lines strong and in red.

    Args:
        path: of the SVG file; the same figures give the same bytes.
        axes: what it shows.
        lines: name to points (x, y), which need not be at the same places.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    chart = figure.subplots()
    colours = iter(COLOURS * (1 + len(lines) // len(COLOURS)))
    for name, points in lines.items():
        ours = name.startswith(OURS)
        chart.plot(
            [x for x, _ in points],
            [y for _, y in points],
            label=name,
            color="#ee3333" if ours else next(colours),
            linewidth=2.5 if ours else 1.5,
            linestyle="--" if ours and name != OURS else "-",
            marker="o",
            markersize=5 if ours else 4,
        )
    chart.set_xscale("log")
    chart.set_yscale("log")
    for axis in (chart.xaxis, chart.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    chart.set_xlabel(axes.x)
    chart.set_ylabel(axes.y)
    chart.set_title(axes.title, fontsize="medium", loc="left")
    chart.grid(visible=True, which="major", color="#dddddd", linewidth=0.8)
    for side in ("top", "right"):
        chart.spines[side].set_visible(False)
    chart.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
