"""Named ways of laying out JPEG 2000 files: what published profiles prescribe, and one of our own."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ziggurat.codestream.segments import Progression
from ziggurat.errors import UsageError

CODE_BLOCK = 64
"""Height and width of a code-block, in all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a profile prescribes.

    Attributes:
        tile: height and width of a tile, a power of two.
        levels: decomposition levels.
        layers: quality layers.
        progression: order of the packets.
        reversible: True for the 5-3 transform and nothing lost, False for the 9-7, None for either.
        precincts: side of the square precincts, the finest resolution first, the last one repeated; empty for none.
        bypass: whether late passes of code-blocks are stored raw.
        symbols: whether code-blocks have segmentation symbols.
        delimiters: whether there are SOP and EPH.
        plt: whether tile-parts list their packets.
        tlm: whether the main header lists the tile-parts.
        split: whether each resolution of a tile is a tile-part.
        coarse_first: whether the coarse tile-parts of all tiles come first.
        ratio: compression ratio unless another loss is asked for, and at least this one; None for lossless.
        newspaper: whether it is of one band of 8 bits.
        metadata: whether XMP, EXIF and IPTC may be in the file.
    """

    tile: int
    levels: int = 6
    layers: int = 1
    progression: Progression = Progression.RPCL
    reversible: bool | None = None
    precincts: tuple[int, ...] = ()
    bypass: bool = False
    symbols: bool = False
    delimiters: bool = False
    plt: bool = False
    tlm: bool = False
    split: bool = False
    coarse_first: bool = False
    ratio: float | None = None
    newspaper: bool = False
    metadata: bool = True

    @property
    def all_precincts(self) -> tuple[int, ...]:
        """A side for every resolution, the finest first; empty for none."""
        if not self.precincts:
            return ()
        return self.precincts + self.precincts[-1:] * (self.levels + 1 - len(self.precincts))


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        # Every level of the whole image is the beginning of the file; what a reader needs to know comes first.
        "cloud": Profile(tile=1024, plt=True, tlm=True, split=True, coarse_first=True),
        # Bodleian Libraries: the encoder's options in their package image-processing.
        "bodleian": Profile(tile=512, layers=6, precincts=(256, 256, 128), delimiters=True, plt=True, split=True),
        # National Digital Newspaper Program, JPEG 2000 profile version 2.6.
        "ndnp": Profile(
            tile=1024,
            layers=25,
            progression=Progression.RLCP,
            reversible=False,
            bypass=True,
            ratio=8.0,
            newspaper=True,
        ),
        # Royal Danish Library, newspaper digitisation, appendix 2B.
        "kb-dk": Profile(
            tile=1024,
            layers=16,
            reversible=True,
            bypass=True,
            symbols=True,
            delimiters=True,
            tlm=True,
            newspaper=True,
            metadata=False,
        ),
    }
)


def profile(name: str) -> Profile:
    """A profile by its name.

    Raises:
        UsageError: if there is none of that name.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"there is no profile {name!r}; choose one of {', '.join(PROFILES)}") from None
