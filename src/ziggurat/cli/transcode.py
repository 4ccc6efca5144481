"""``ziggurat transcode IN OUT``: a JPEG 2000 file in a layout for byte ranges, bit for bit the same pixels."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ziggurat.cli.parsing import NO_NETWORK, Network, split_target
from ziggurat.codestream.recoding import Recoding, Split
from ziggurat.codestream.segments import Progression
from ziggurat.convert.text import visible
from ziggurat.storage.destination import open_destination
from ziggurat.storage.resolve import open_source
from ziggurat.write.transcode import Report
from ziggurat.write.transcode import transcode as write

_PARTS = {
    Split.RESOLUTION: "by resolution",
    Split.LAYER: "by layer",
    Split.COMPONENT: "by component",
    Split.NONE: "one a tile",
}


def transcode(  # noqa: PLR0913 - one parameter per option of the command
    source: Annotated[str, Parameter(name="IN")],
    out: str,
    *,
    progression: Literal["LRCP", "RLCP", "RPCL", "PCRL", "CPRL"] = "RPCL",
    tile_parts: Literal["R", "L", "C", "none"] | None = None,
    layout: Literal["coarse-first", "tile-first", "chunks"] = "coarse-first",
    tlm: bool = True,
    plt: bool = True,
    drop_levels: int = 0,
    drop_layers: int = 0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    network: Network = NO_NETWORK,
) -> None:
    """Write a JPEG 2000 file again in a layout that suits object storage, without decoding it.

    Pixels stay the same bit for bit, boxes and metadata are kept. With the layout that is the default, every level
    of the whole image is the beginning of the file.

    Args:
        source: path or URL of a JP2, JPX or JPH file, or of a bare codestream.
        out: path or s3:, gs: or az: URL of the file to write.
        progression: order of the packets.
        tile_parts: what a tile-part holds: a resolution, a layer, a component, or all of its tile; R unless the layout
            is chunks.
        layout: the coarse parts of all tiles first; or one tile after the other; or chunks, each tile a codestream
            of its own besides, as `ziggurat references` needs it.
        tlm: list the tile-parts in the main header.
        plt: list the packets in every tile-part's header.
        drop_levels: how many of the finest resolutions to leave out.
        drop_layers: how many of the last quality layers to leave out.
        overwrite: replace OUT if it exists.
        network: how stores are reached.
    """
    network.options()
    recoding = Recoding(
        progression=Progression[progression],
        split=Split(tile_parts or ("none" if layout == "chunks" else "R")),
        coarse_first=layout == "coarse-first",
        tlm=tlm,
        plt=plt,
        drop_levels=drop_levels,
        drop_layers=drop_layers,
        chunks=layout == "chunks",
    )
    folder, key = split_target(out)
    with tempfile.TemporaryDirectory(prefix="ziggurat-") as scratch, closing(open_source(source)) as opened:
        destination = open_destination(folder, scratch=Path(scratch))
        report = write(opened, destination, key, recoding, overwrite=overwrite)
    _say(report, recoding, layout)


def _say(report: Report, recoding: Recoding, layout: str) -> None:
    lists = [name for name, written in (("TLM", recoding.tlm), ("PLT", recoding.plt)) if written]
    print(f"{visible(report.url)}: {report.after:,} bytes, made from {report.before:,}")
    print(
        f"  {report.tiles:,} tiles in {report.parts:,} tile-parts ({_PARTS[recoding.split]}, {layout}), "
        f"{report.packets:,} packets in {', '.join([recoding.progression.name, *lists])}"
    )
    for note in report.notes:
        print(f"  note: {visible(note)}")
