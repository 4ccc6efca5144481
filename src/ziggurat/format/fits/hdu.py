"""The units of a file (HDUs): what each holds and where its data lie. FITS Standard 4.0 sections 3, 4.4 and 7."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ziggurat.errors import CorruptImage, UnsupportedFeature, UsageError
from ziggurat.format.fits.blocks import Headers, padded
from ziggurat.format.fits.cards import Cards
from ziggurat.model import JSON

MAX_HDUS = 4096
"""Units that are walked over; a remote one may cost a request each."""

MAX_AXES = 999
"""The standard's limit (section 4.4.1.1)."""

BITPIX = frozenset({8, 16, 32, 64, -32, -64})


@dataclass(frozen=True, slots=True)
class Hdu:
    """One unit.

    Attributes:
        index: its number; the primary is 0.
        name: EXTNAME, or "PRIMARY".
        kind: "image", "compressed" (an image in the tiles of a table), or what XTENSION says.
        bitpix: sample type of the image, of the standard's six; 8 for other units.
        axes: lengths NAXIS1, NAXIS2 and on, the image's own where it is compressed.
        header: first byte of the header.
        start: first byte of the data.
        length: bytes of the data without padding.
        cards: its header.
    """

    index: int
    name: str
    kind: str
    bitpix: int
    axes: tuple[int, ...]
    header: int
    start: int
    length: int
    cards: Cards

    @property
    def end(self) -> int:
        """Where the next unit begins."""
        return self.start + padded(self.length)

    @property
    def is_image(self) -> bool:
        """Whether it holds an image of two or more dimensions."""
        return self.kind in {"image", "compressed"} and len(self.axes) > 1 and math.prod(self.axes) > 0

    def summary(self) -> dict[str, JSON]:
        """Index, name, kind, shape in array order (slowest axis first) and BITPIX."""
        found: dict[str, JSON] = {"index": self.index, "name": self.name, "kind": self.kind}
        if self.kind in {"image", "compressed"}:
            found |= {"shape": list(self.axes[::-1]), "bitpix": self.bitpix}
        return found


def walk(headers: Headers) -> Iterator[Hdu]:
    """The units in order, each header read when it is asked for.

    Raises:
        CorruptImage: if a header is damaged.
    """
    start = 0
    for index in range(MAX_HDUS):
        if index and not headers.is_extension(start):
            return
        hdu = unit_at(headers, index, start)
        yield hdu
        start = hdu.end


def unit_at(headers: Headers, index: int, start: int) -> Hdu:
    """The unit whose header begins at a byte.

    Args:
        headers: of the file.
        index: its number.
        start: first byte of its header.

    Raises:
        CorruptImage: if the header is damaged.
    """
    cards, data = headers.read(start, f"{headers.url}: HDU {index}")
    return _parse(index, cards, start, data)


def choose(headers: Headers, wanted: int | str | None) -> tuple[Hdu, list[Hdu], bool]:
    """The unit to read, the units whose headers are known, and whether those are all.

    Units after the chosen one are listed only as far as their headers came with bytes already fetched.

    Args:
        headers: of the file.
        wanted: an index, an EXTNAME (case does not matter), or None for the first image.

    Raises:
        UsageError: if there is no such unit.
        UnsupportedFeature: if it is no image, or the file has none.
        CorruptImage: if a header on the way is damaged.
    """
    known: list[Hdu] = []
    chosen: Hdu | None = None
    for hdu in walk(headers):
        known.append(hdu)
        if _fits(hdu, wanted):
            chosen = hdu
            break
    listing = ", ".join(f"{hdu.index} {hdu.name} ({hdu.kind})" for hdu in known[:20])
    if chosen is None and wanted is None:
        raise UnsupportedFeature(f"{headers.url} holds no image of two or more dimensions; its HDUs are {listing}")
    if chosen is None:
        raise UsageError(f"{headers.url} has no HDU {wanted!r}; its HDUs are {listing}")
    if not chosen.is_image:
        raise UnsupportedFeature(f"{chosen.cards.where} ({chosen.name}) is no image of two or more dimensions")
    while len(known) < MAX_HDUS and headers.held(known[-1].end) and headers.is_extension(known[-1].end):
        try:
            known.append(unit_at(headers, len(known), known[-1].end))
        except CorruptImage:
            return chosen, known, False
    return chosen, known, known[-1].end >= headers.size


def _fits(hdu: Hdu, wanted: int | str | None) -> bool:
    match wanted:
        case None:
            return hdu.is_image
        case int():
            return hdu.index == wanted
        case _:
            return hdu.name.upper() == wanted.strip().upper()


def _parse(index: int, cards: Cards, header: int, start: int) -> Hdu:
    """A header's unit, with the size of its data by section 4.4.1."""
    bitpix, axes = _shape(cards, "")
    groups = axes[:1] == (0,) and cards.flag("GROUPS")
    samples = math.prod(axes[1:] if groups else axes) if axes else 0
    if index or groups:
        parameters, count = cards.integer("PCOUNT", 0), cards.integer("GCOUNT", 1)
        if parameters < 0 or count < 0:
            raise CorruptImage(f"{cards.where}: PCOUNT {parameters} or GCOUNT {count} is negative")
        samples = count * (parameters + samples)
    length = abs(bitpix) // 8 * samples
    kind = cards.text("XTENSION").lower() if index else "image"
    if kind in {"bintable", "a3dtable"} and cards.flag("ZIMAGE"):
        kind = "compressed"
        bitpix, axes = _shape(cards, "Z")
    elif kind == "iueimage":
        kind = "image"
    name = cards.text("EXTNAME") or ("" if index else "PRIMARY")
    return Hdu(index, name, "groups" if groups else kind, bitpix, axes, header, start, length, cards)


def _shape(cards: Cards, prefix: str) -> tuple[int, tuple[int, ...]]:
    """BITPIX and the lengths of the axes, or the compressed image's (section 10.1.1)."""
    bitpix = cards.integer(f"{prefix}BITPIX")
    if bitpix not in BITPIX:
        raise CorruptImage(f"{cards.where}: {prefix}BITPIX is {bitpix}, which the standard does not know")
    count = cards.integer(f"{prefix}NAXIS")
    if not 0 <= count <= MAX_AXES:
        raise CorruptImage(f"{cards.where}: {prefix}NAXIS is {count}, the standard allows 0 to {MAX_AXES}")
    axes = tuple(cards.integer(f"{prefix}NAXIS{number}") for number in range(1, count + 1))
    if any(length < 0 for length in axes):
        raise CorruptImage(f"{cards.where}: an axis of {prefix}NAXISn is negative")
    return bitpix, axes
