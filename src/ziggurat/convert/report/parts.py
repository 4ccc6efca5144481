"""Pieces of HTML that the sections of the page are made of. All foreign text is escaped by who calls them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ziggurat.convert import text
from ziggurat.convert.report import svg

_TAG = re.compile(r"<[^>]*>")

SWATCH = '<svg viewBox="0 0 1 1" aria-hidden="true"><rect class="{}" width="1" height="1"/></svg>'


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head, and how its cells look: "", "number" or "long"."""

    head: str
    kind: str = ""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], total: Sequence[str] = ()) -> str:
    """A table whose rows' first cell is their head; scrolls in itself where the page is narrow.

    Args:
        caption: HTML.
        columns: heads as HTML.
        rows: cells as HTML.
        total: cells of a last row, if there is one.
    """
    head = "".join(f'<th scope="col"{_kind(column)}>{column.head}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    foot = f"<tfoot><tr>{_cells(columns, total)}</tr></tfoot>" if total else ""
    name = _TAG.sub("", caption)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{name}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def _cells(columns: Sequence[Column], row: Sequence[str]) -> str:
    first, *rest = zip(columns, row, strict=True)
    return f'<th scope="row"{_kind(first[0])}>{first[1]}</th>' + "".join(
        f"<td{_kind(column)}>{cell}</td>" for column, cell in rest
    )


def _kind(column: Column) -> str:
    return f' class="{column.kind}"' if column.kind else ""


def section(name: str, title: str, *content: str) -> str:
    """A section of the page with an anchor; nothing where it has no content."""
    inner = "".join(content)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{inner}</section>'
        if inner
        else ""
    )


def legend(parts: Sequence[svg.Share], words: Iterable[str]) -> str:
    """What the parts of a bar are."""
    return (
        '<ul class="legend">'
        + "".join(
            f"<li>{SWATCH.format(part.kind)}{text.escaped(part.name)} <b>{word}</b></li>"
            for part, word in zip(parts, words, strict=True)
        )
        + "</ul>"
    )


def plot(caption: str, chart: str, up: Sequence[str], along: Sequence[str]) -> str:
    """A chart with the words of its axes: ``up`` from the top down, ``along`` from left to right."""
    if not chart:
        return ""
    return (
        f'<figure class="plot"><figcaption>{caption}</figcaption><div class="field">'
        f'<div class="up" aria-hidden="true">{_spans(up)}</div>{chart}'
        f'<div class="along" aria-hidden="true">{_spans(along)}</div></div></figure>'
    )


def _spans(words: Iterable[str]) -> str:
    return "".join(f"<span>{word}</span>" for word in words)


def link(shown: str, target: str | None) -> str:
    """Foreign text, linked where there is something to link to."""
    name = text.escaped(shown)
    return name if target is None else f'<a href="{text.escaped(target, 8000)}">{name}</a>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they are; both HTML."""
    return '<dl class="facts">' + "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in pairs) + "</dl>"
