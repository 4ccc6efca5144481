"""One target from its images to the bytes of its cutout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from astropy.coordinates import SkyCoord

from ziggurat.errors import SourceNotFound
from ziggurat.sky.footprints import open_footprints
from ziggurat.sky.make import BandCutout, Maker, covered_share
from ziggurat.sky.options import CutoutOptions
from ziggurat.sky.outputs import kind
from ziggurat.sky.plan import choose


@dataclass(frozen=True, slots=True)
class One:
    """A cutout ready to be stored.

    Attributes:
        data: its bytes.
        suffix: of its file.
        summary: its size, bands and coverage.
        sources: the images that it was made of.
    """

    data: bytes
    suffix: str
    summary: str
    sources: tuple[str, ...]


def cut(
    sources: Sequence[str],
    place: SkyCoord,
    options: CutoutOptions,
    *,
    memory: int,
    looked: Callable[[int], None] = lambda _: None,
) -> tuple[BandCutout, ...]:
    """The bands of one target's cutout.

    Args:
        sources: an index of footprints, or folders, patterns, prefixes and files.
        place: the target, a single position.
        options: what is wanted.
        memory: bytes that it may take.
        looked: called with the number of files whose headers were looked at.

    Raises:
        SourceNotFound: if no image covers it.
        ZigguratError: if an image cannot be read.
    """
    with open_footprints(sources, looked) as footprints:
        [choice] = choose(footprints, place.reshape(1), options)
        if not choice.bands:
            said = "".join(f"; {problem}" for problem in choice.problems)
            raise SourceNotFound(
                f"no image of {', '.join(sources)} covers {place.ra.deg:.5f} {place.dec.deg:+.5f}{said}; check the "
                "position, its frame and the bands"
            )
        images = {band: [footprints.image(number)[0] for number in numbers] for band, numbers in choice.bands.items()}
    with Maker(options, memory=memory) as maker:
        return maker.make(place, images)


def cut_one(
    sources: Sequence[str],
    place: SkyCoord,
    options: CutoutOptions,
    *,
    memory: int,
    looked: Callable[[int], None] = lambda _: None,
) -> One:
    """The same as the bytes of a file, in the form that the options name. Arguments and errors are those of ``cut``."""
    line = kind(options.kind)
    made = cut(sources, place, options, memory=memory, looked=looked)
    sizes = " and ".join(dict.fromkeys(f"{one.grid.size.height} x {one.grid.size.width}" for one in made))
    bands = ", ".join(one.band for one in made if one.band)
    summary = f"{sizes} pixels" + (f", bands {bands}" if bands else "") + f", {covered_share(made):.1%} covered"
    used = (f"{one.band} {part.image.where}".strip() for one in made for part in one.used)
    return One(line.encode(made, options.colour), line.suffix, summary, tuple(dict.fromkeys(used)))
