"""What people type into a search box: words, "words in quotes", and words in one column, as in material:map. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_TERM = re.compile(r'(?:"([^"]+)":|([^\s":]+):)?(?:"([^"]*)"|(\S*))')


@dataclass(frozen=True, slots=True)
class Term:
    """Something that is looked for.

    Attributes:
        text: what must stand there, whatever the case of its letters; "" in a column: anything.
        column: of a table; None looks everywhere.
    """

    text: str
    column: str | None = None


def terms(q: str, columns: Sequence[str]) -> list[Term]:
    """The terms of a query; what stands before a colon and is no column is a part of the word.

    Args:
        q: as it was typed.
        columns: those that there are, whatever the case of their letters.
    """
    known = {name.casefold(): name for name in columns}
    found = (_term(match, known) for match in _TERM.finditer(q) if match[0])
    return [term for term in found if term.text or term.column is not None]


def _term(match: re.Match[str], known: Mapping[str, str]) -> Term:
    name = match[1] or match[2]
    text = match[4] if match[3] is None else match[3]
    if name is None or (column := known.get(name.casefold())) is not None:
        return Term(text, None if name is None else column)
    return Term(f"{name}:{text}")
