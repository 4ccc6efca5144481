"""What a picture says of its pixels, for arrays that have no place of their own for it."""

from ziggurat.format.notes import Notes
from ziggurat.write.protocol import Picture


def notes_of(picture: Picture, axes: tuple[str, ...] | None = None) -> Notes:
    """All that is known of a picture.

    Args:
        picture: which.
        axes: "y", "x" and "band" in the array's order, where nothing else says it.
    """
    return Notes(
        axes=axes,
        colour_space=picture.colour_space,
        bit_depth=picture.bit_depth,
        alpha=picture.alpha,
        resolution=picture.resolution,
        icc=picture.icc,
        metadata=picture.metadata,
    )
