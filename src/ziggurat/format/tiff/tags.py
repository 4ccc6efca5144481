"""Numbers of tags that reading asks for, by what they are needed for (TIFF 6.0 and its supplements; NDPI)."""

OFFSETS = (324, 273)
"""TileOffsets, StripOffsets: the first that is there counts."""

COUNTS = (325, 279)
"""TileByteCounts, StripByteCounts."""

SEGMENT_TAGS = frozenset(OFFSETS + COUNTS)

SUBIFDS, EXIF, STRIP_OFFSETS = 330, 34665, 273

MCU_STARTS = frozenset({65426, 65432})
"""NDPI's tables of the parts of one long JPEG stream."""

NEEDED_TAGS = SEGMENT_TAGS | {256, 257, 258, 259, 262, 277, 278, 284, 317, 320, 322, 323, 330, 338, 339, 347, 530}
"""Tags without which the pixels cannot be found or understood."""

TOLD_TAGS = frozenset(
    {270, 271, 272, 282, 283, 301, 305, 306, 315, 513, 514, 529, 532, 700, 33432, 33723, 34675, 42113}
)
"""Tags that opening reads besides, if they are there: what the image is about, and its colours."""
