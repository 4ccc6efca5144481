"""From rows to targets: pure, before any source is opened."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from ziggurat.convert.ledger.planning import PlannedRow
from ziggurat.convert.manifest import Row
from ziggurat.convert.naming import DEFAULT_TEMPLATE, Template, parse_template
from ziggurat.errors import TargetRefused, UsageError
from ziggurat.storage.names import check_key

SHA256_HEX = 64
"""Characters of a SHA-256 in hex."""


def plan_rows(
    rows: Iterable[Row], template: str | None, suffix: str, known: Sequence[str], taken: Container[str] = ()
) -> Iterator[PlannedRow]:
    """Gives every row its target, or says why it has none.

    With the default template two sources of one name and different suffixes (``a.jp2``, ``a.tif``) keep their suffixes
    (``a.jp2.jpg``, ``a.tif.jpg``): nothing was asked for that they could contradict. With a template of the user's,
    rows of the same target are refused later, by the ledger.

    Args:
        rows: as asked for.
        template: of the target names, or None for the sources' own paths.
        suffix: of the target's files.
        known: fields that a template may use.
        taken: targets that the default template leaves to others.

    Raises:
        UsageError: if the template makes no sense.
    """
    if template is not None:
        checked = parse_template(template, suffix, known)
        return (_planned(row, checked) for row in rows)
    everything = list(rows)
    counts = Counter(row.fields.get("path") for row in everything)
    plain = parse_template(DEFAULT_TEMPLATE, suffix, known)
    doubled = parse_template("{path}.{suffix}" + suffix, suffix, known)

    def chosen(row: Row) -> Template:
        path = row.fields.get("path")
        return doubled if counts[path] > 1 or f"{path}{suffix}" in taken else plain

    return (_planned(row, chosen(row)) for row in everything)


def _planned(row: Row, template: Template) -> PlannedRow:
    if row.problem is not None:
        return row, None, UsageError.__name__, row.problem
    if row.checksum is not None and not _is_sha256(row.checksum):
        problem = f"the manifest's checksum {row.checksum!r} is no SHA-256 of {SHA256_HEX} hex digits"
        return row, None, UsageError.__name__, problem
    try:
        key = template.name(row.fields)
        check_key(key)
    except TargetRefused as error:
        return row, None, TargetRefused.__name__, str(error)
    return row, key, None, None


def _is_sha256(text: str) -> bool:
    return len(text) == SHA256_HEX and not text.strip("0123456789abcdef")
