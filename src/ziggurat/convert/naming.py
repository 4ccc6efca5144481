"""Target names from templates, and what is wrong with a name. Pure."""

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ziggurat.errors import TargetRefused, UsageError
from ziggurat.storage.tree import is_tree

DEFAULT_TEMPLATE = "{path}"
"""Beside its folder and stem a target keeps nothing of its source's name; the suffix is the target format's."""


@dataclass(frozen=True, slots=True)
class Template:
    """A checked name template such as ``{group}/{item}/{name}.jpg``.

    Attributes:
        text: with its suffix; ``{{`` and ``}}`` stand for braces.
        fields: names of the fields that it uses.
    """

    text: str
    fields: tuple[str, ...]

    def name(self, fields: Mapping[str, str]) -> str:
        """The target's key for one row.

        Raises:
            TargetRefused: if a field is missing or empty.
        """
        for name in self.fields:
            if not fields.get(name):
                raise TargetRefused(f"the name template {self.text!r} uses {{{name}}}, which is empty here")
        return self.text.format_map(fields)


def parse_template(text: str, suffix: str, known: Iterable[str]) -> Template:
    """Checks a template against the fields that rows have, and appends the suffix where it has none of its own.

    Folders always have a suffix by which they are known: one of another kind is taken for a part of the name.

    Raises:
        UsageError: if it cannot be parsed, uses an unknown field, or has conversions or formats.
    """
    available = set(known)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"--name {text!r} is not a template: {error}") from error
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion or name not in available:
            raise UsageError(
                f"--name {text!r}: {{{name}}} is not one of "
                f"{', '.join('{' + field + '}' for field in sorted(available))}"
            )
    names = tuple(name for _, name, _, _ in parts if name is not None)
    if not names:
        raise UsageError(f"--name {text!r} gives every image the same name; use a field such as {{name}}")
    own = is_tree(text) if is_tree(suffix) else "." in text.rpartition("}")[2]
    has_suffix = text.endswith(suffix) or own
    return Template(text if has_suffix else text + suffix, names)
