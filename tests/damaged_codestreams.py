"""Small codestreams that use every place where packets, their lengths and their headers can be told."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np

from drive import Drive
from ziggurat.codestream.index import CodestreamIndex
from ziggurat.codestream.markers import MainHeader, parse_main_header
from ziggurat.codestream.reads import Span
from ziggurat.codestream.tile_index import walk_to

_PIXELS = (np.add.outer(np.arange(40) ** 2, np.arange(56) * 9) % 251).astype(np.uint8)
_LAYERED = "-n 3 -r 8,3,1 -c [32,32] -b 16,16 -M 5 -SOP -EPH -PLT -TLM -TP R -p RPCL"
_CHANGING = "-n 3 -r 4,1 -t 32,32 -POC T1=0,0,1,3,1,LRCP/T1=0,0,2,3,1,CPRL"


def segment(marker: int, content: bytes) -> bytes:
    return marker.to_bytes(2) + (len(content) + 2).to_bytes(2) + content


def header_of(data: bytes) -> MainHeader:
    main = parse_main_header(data)
    assert isinstance(main, MainHeader)
    return main


def index_of(data: bytes) -> CodestreamIndex:
    main = header_of(data)
    return CodestreamIndex(main, data[: main.length], Span(0, len(data)), len(data))


def patched(data: bytes, segment_name: str, at: int, value: int) -> bytes:
    """With one byte of a segment's content replaced."""
    place = next(item.offset for item in header_of(data + b"\xff\x90").segments if item.name == segment_name) + 4 + at
    return data[:place] + bytes([value]) + data[place + 1 :]


def _varying(length: int) -> bytes:
    """A length as PLT has it: seven bits a byte, the most significant ones first."""
    digits = [length & 0x7F]
    while length := length >> 7:
        digits.append(0x80 | length & 0x7F)
    return bytes(reversed(digits))


def repacked(data: bytes, kind: str, *, sop: bool = False) -> bytes:
    """A codestream of one tile-part with PLT, or with its packet headers in PPT or PPM, then perhaps with SOP."""
    drive = Drive(data)
    index = index_of(data)
    tile = drive(index.tile(0))
    drive(walk_to(tile, len(tile.order.precinct)))
    packets = tile.columns.packets
    spans = list(zip(packets.offset, packets.header, packets.length, strict=True))
    heads = b"".join(data[at : at + head] for at, head, _ in spans)
    bodies = b"".join(
        (segment(0xFF91, number.to_bytes(2)) if sop else b"") + data[at + head : at + length]
        for number, (at, head, length) in enumerate(spans)
    )
    whole = b"".join(data[at : at + length] for at, _, length in spans)
    main, own, body = data[: index.main.length], b"", bodies
    if sop:
        main = patched(main, "COD", 0, main[next(s for s in index.main.segments if s.name == "COD").offset + 4] | 2)
    if kind == "PLT":
        own, body = segment(0xFF58, b"\0" + b"".join(_varying(length) for _, _, length in spans)), whole
    elif kind == "PPT":
        own = segment(0xFF61, b"\0" + heads[:50]) + segment(0xFF61, b"\1" + heads[50:])
    else:
        main += segment(0xFF60, b"\0" + len(heads).to_bytes(4) + heads)
    sot = segment(0xFF90, bytes(2) + (14 + len(own) + len(body)).to_bytes(4) + b"\0\1")
    return main + sot + own + b"\xff\x93" + body + b"\xff\xd9"


def _opj(options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.raw"), Path(folder, "out.j2k")
        source.write_bytes(_PIXELS.tobytes())
        form = f"{_PIXELS.shape[1]},{_PIXELS.shape[0]},1,8,u"
        command = ["opj_compress", "-i", source, "-o", target, "-F", form, *options.split()]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_bytes()


def codestreams() -> list[bytes]:
    """The codestreams; two more, of layers, precincts and progression changes, where OpenJPEG's encoder is here."""
    plain = imagecodecs.jpeg2k_encode(_PIXELS, level=0, codecformat="j2k", resolutions=3)
    ht = imagecodecs.htj2k_encode(
        _PIXELS, reversible=True, resolutions=2, tile=(32, 32), tlm=True, tilepart="RESOLUTIONS"
    )
    made = [plain, repacked(plain, "PLT"), repacked(plain, "PPT"), repacked(plain, "PPM"), ht]
    if shutil.which("opj_compress"):
        made += [_opj(_LAYERED), _opj(_CHANGING)]
    return made


def boxed(codestream: bytes) -> bytes:
    """A JP2 file with every box that is looked into."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4) + kind + content

    size = b"".join(side.to_bytes(4) for side in _PIXELS.shape)
    inner = [
        box(b"ihdr", size + bytes([0, 1, 7, 7, 0, 0])),
        box(b"colr", bytes([1, 0, 0, 0, 0, 0, 16])),
        box(b"colr", bytes([2, 0, 0]) + bytes(16) + b"RGB " + bytes(120)),
        box(b"pclr", bytes([0, 2, 3, 7, 7, 7, 1, 2, 3, 4, 5, 6])),
        box(b"cmap", bytes([0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 2])),
        box(b"cdef", bytes([0, 3, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 2, 0, 2, 0, 0, 0, 3])),
        box(b"res ", box(b"resc", bytes([1, 44, 0, 1, 0, 150, 0, 1, 1, 2]))),
    ]
    exif = box(b"uuid", b"JpgTiffExif->JP2" + b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", b"".join(inner))
    return start + box(b"xml ", b"<a/>") + exif + box(b"jp2c", codestream)
