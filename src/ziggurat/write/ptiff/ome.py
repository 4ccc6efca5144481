"""OME-XML of one flat image, by the OME schema of June 2016."""

from xml.sax.saxutils import quoteattr

from ziggurat.errors import UnsupportedFeature
from ziggurat.write.protocol import Picture

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"

_TYPES = {
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "float32": "float",
    "float64": "double",
}


def ome_xml(picture: Picture, software: str) -> bytes:
    """The ImageDescription of an OME-TIFF, in UTF-8.

    Raises:
        UnsupportedFeature: if OME has no such sample type.
    """
    kind = _TYPES.get(picture.dtype.name)
    if kind is None:
        raise UnsupportedFeature(f"OME-TIFF has no samples of type {picture.dtype}; choose pyramid pages or subifd")
    pixels: dict[str, str | int] = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYCZT",
        "Type": kind,
        "SignificantBits": picture.bit_depth,
        "Interleaved": "true" if picture.bands > 1 else "false",
        "BigEndian": "false",
        "SizeX": picture.size.width,
        "SizeY": picture.size.height,
        "SizeC": picture.bands,
        "SizeZ": 1,
        "SizeT": 1,
    }
    if picture.resolution is not None:
        pixels |= {
            "PhysicalSizeX": f"{1e6 / picture.resolution.x:.9g}",
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": f"{1e6 / picture.resolution.y:.9g}",
            "PhysicalSizeYUnit": "µm",
        }
    attributes = " ".join(f"{name}={quoteattr(str(value))}" for name, value in pixels.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{NAMESPACE} {NAMESPACE}/ome.xsd" Creator={quoteattr(software)}>'
        f'<Image ID="Image:0"><Pixels {attributes}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="{picture.bands}"/>'
        '<TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    ).encode()
