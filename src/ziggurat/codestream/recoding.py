"""How a codestream is to be laid out anew, and what that makes of its geometry and coding."""

from dataclasses import dataclass, replace
from enum import StrEnum

from ziggurat.codestream.coding import TileCoding
from ziggurat.codestream.compose import coding_of_level
from ziggurat.codestream.partition import ceil_shift
from ziggurat.codestream.segments import MAX_LEVELS, Progression, Siz
from ziggurat.errors import UsageError


class Split(StrEnum):
    """What the packets of one tile-part have in common."""

    RESOLUTION = "R"
    LAYER = "L"
    COMPONENT = "C"
    NONE = "none"


_OUTERMOST = {
    Split.RESOLUTION: (Progression.RLCP, Progression.RPCL),
    Split.LAYER: (Progression.LRCP,),
    Split.COMPONENT: (Progression.CPRL,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoding:
    """How a codestream is to be laid out.

    Attributes:
        progression: order of the packets of every tile.
        split: what a tile-part holds.
        coarse_first: whether the first tile-parts of all tiles come before the second ones, and so on; else a
            tile's parts stay together.
        tlm: whether the main header lists the tile-parts.
        plt: whether every tile-part's header lists its packets.
        drop_levels: finest resolutions that are left out.
        drop_layers: last quality layers that are left out.
        chunks: whether every tile begins with the head of a chunk, see ``chunk``: one tile-part a tile, the coarsest
            resolutions first, without EPH.

    Raises:
        UsageError: if tile-parts cannot be made so in that progression.
    """

    progression: Progression = Progression.RPCL
    split: Split = Split.RESOLUTION
    coarse_first: bool = True
    tlm: bool = True
    plt: bool = True
    drop_levels: int = 0
    drop_layers: int = 0
    chunks: bool = False

    def __post_init__(self) -> None:
        if self.drop_levels < 0 or self.drop_layers < 0:
            raise UsageError("the number of levels or layers to leave out cannot be negative")
        if self.drop_levels > MAX_LEVELS:
            raise UsageError(f"{self.drop_levels} levels cannot be left out: no image has more than {MAX_LEVELS}")
        if self.chunks and (
            self.split is not Split.NONE or self.coarse_first or self.progression not in _OUTERMOST[Split.RESOLUTION]
        ):
            raise UsageError("chunks are whole tiles, one after the other, in the progression RPCL or RLCP")
        fitting = _OUTERMOST.get(self.split, tuple(Progression))
        if self.progression not in fitting:
            names = " or ".join(item.name for item in fitting)
            raise UsageError(
                f"tile-parts {self.split} cannot be had in the progression {self.progression.name}, in which what they "
                f"hold lies apart; choose {names}, or other tile-parts"
            )


def recoded(coding: TileCoding, recoding: Recoding, tile: int) -> TileCoding:
    """The coding of a tile that is laid out anew.

    Raises:
        UsageError: if it has too few levels or layers.
    """
    if recoding.drop_levels > coding.levels:
        raise UsageError(
            f"tile {tile} has {coding.levels} decomposition levels; {recoding.drop_levels} cannot be left out"
        )
    if recoding.drop_layers >= coding.layers:
        raise UsageError(
            f"tile {tile} has {coding.layers} quality layers; {recoding.drop_layers} cannot be left out, one must stay"
        )
    return replace(
        coding_of_level(coding, recoding.drop_levels),
        sop=False,
        eph=coding.eph and not recoding.chunks,
        progression=recoding.progression,
        layers=coding.layers - recoding.drop_layers,
        changes=(),
    )


def recoded_siz(siz: Siz, recoding: Recoding) -> Siz:
    """The geometry without the finest levels (A.5.1, B.3).

    Raises:
        UsageError: if the tiles would no longer be of one size, or nothing would be left.
    """
    level = recoding.drop_levels
    if not level:
        return siz
    x0, x1, tile_x0, width = _axis(siz.x0, siz.x1, siz.tile_x0, siz.tile_width, level)
    y0, y1, tile_y0, height = _axis(siz.y0, siz.y1, siz.tile_y0, siz.tile_height, level)
    return Siz(siz.capabilities, x0, y0, x1, y1, tile_x0, tile_y0, width, height, siz.components)


def _axis(start: int, end: int, origin: int, size: int, level: int) -> tuple[int, int, int, int]:
    new_start, new_end = ceil_shift(start, level), ceil_shift(end, level)
    if new_start >= new_end:
        raise UsageError(f"nothing is left of the image without its {level} finest levels; leave out fewer")
    if origin + size >= end:
        first = origin >> level
        return new_start, new_end, first, ceil_shift(origin + size, level) - first
    if (origin | size) & ((1 << level) - 1) or (origin + size) >> level <= new_start:
        raise UsageError(
            f"tiles of {size} from {origin} on have no common size without {level} levels: the first tile must hold "
            f"something, and both numbers must be multiples of {1 << level}; leave out fewer levels"
        )
    return new_start, new_end, origin >> level, size >> level
