"""Everything that decides what a cutout holds. Values only."""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from ziggurat.errors import UsageError
from ziggurat.model import JSON
from ziggurat.sky.angles import Extent
from ziggurat.sky.bands import Bands
from ziggurat.sky.colour import ColourOptions

PROJECTIONS: Final = (
    "TAN", "SIN", "ARC", "STG", "ZEA", "CAR", "CEA", "MER", "SFL", "GLS", "PAR", "MOL", "AIT",
)  # fmt: skip
"""Projections that need no parameters. FITS Standard 4.0 table 23."""

type Fields = Literal["auto", "best", "all"]
type Method = Literal["interp", "adaptive", "exact"]
type Quantity = Literal["flux", "brightness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutoutOptions:
    """What a cutout is.

    Attributes:
        kind: a name of ``ziggurat.sky.outputs.KINDS``.
        extent: its size.
        bands: which bands, and how they are known.
        fields: images of one band that are taken: the one that covers most, all that overlap, or (auto) all only where
            no single one covers the whole cutout.
        projection: of a new grid; None keeps the best image's pixels.
        scale: degrees of a new grid's pixels; None keeps about the best image's.
        method: how pixels are brought onto another grid.
        quantity: what pixels hold: flux, which is divided among pixels, or brightness, which is not.
        match_background: take out constant differences between images that overlap.
        weights: pattern of weight maps beside images, with ``{stem}``; None weighs all pixels alike.
        colour: of pictures.
    """

    kind: str
    extent: Extent
    bands: Bands = field(default_factory=Bands)
    fields: Fields = "auto"
    projection: str | None = None
    scale: float | None = None
    method: Method = "exact"
    quantity: Quantity = "flux"
    match_background: bool = False
    weights: str | None = None
    colour: ColourOptions = field(default_factory=ColourOptions)

    def __post_init__(self) -> None:
        if self.projection is not None and self.projection not in PROJECTIONS:
            raise UsageError(f"--project {self.projection!r} is not one of {', '.join(PROJECTIONS)}")
        if self.scale is not None:
            self.extent.pixels((self.scale, self.scale))

    @property
    def regridded(self) -> bool:
        """Whether a new grid was asked for."""
        return self.projection is not None or self.scale is not None

    def record(self) -> dict[str, JSON]:
        """The options as plain values, for a ledger."""
        record: dict[str, JSON] = json.loads(json.dumps(asdict(self)))
        return record
