"""The section "Windows" of the benchmarks, from figures that one or more runs left."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tables import machine, table
from window_files import KINDS, SIZES
from window_task import AIMS, TIMEOUT

type Figures = Mapping[str, Mapping[str, Any]]

PLACES = ("disk", "S3", "S3 + 30 ms")

SHORT = {
    "jp2-plain": "JP2 plain",
    "jp2-precincts": "JP2 precincts",
    "jp2-tiles": "JP2 tiles",
    "strips": "strips",
    "deflate": "strips Deflate",
    "ptiff": "pyramid",
}

MADE = frozenset({"strips", "deflate"})
"""Kinds that hold full resolution alone: whoever reads a coarser one makes it, by averaging or by taking pixels."""

OURS = {"Ziggurat": "cold", "Ziggurat sampled": "sampled", "Ziggurat indexed": "indexed", "Ziggurat again": "again"}

PEERS = {
    "GDAL": "GDAL",
    "GDAL average": "GDAL, average",
    "GDAL vsicurl": "GDAL, vsicurl",
    "libvips": "libvips",
    "tifffile": "tifffile",
    "large_image": "large_image",
}

AVERAGING = ("GDAL average", "libvips", "large_image")
"""Peers that average, or resample with as much care, where a level is not there."""

TAKING = ("GDAL", "tifffile")
"""Peers that take single pixels there."""

REMOTE = ("Ziggurat", "Ziggurat sampled", "Ziggurat indexed", "Ziggurat again", "GDAL", "GDAL vsicurl", "tifffile")


def found(figures: Figures, key: tuple[str, str, str, str], reader: str) -> Mapping[str, Any] | None:
    """One figure, if it was measured; a peer that failed on the disk is not tried elsewhere."""
    return figures.get("|".join((*key, reader)))


def rivals(key: tuple[str, str, str, str], reader: str) -> tuple[str, ...]:
    """The peers that do the same: where a level is not there, those that average, or those that take pixels."""
    if key[1] not in MADE or key[3] == "window":
        return tuple(PEERS)
    return TAKING if reader == "Ziggurat sampled" else AVERAGING


def nearest(
    figures: Figures, key: tuple[str, str, str, str], reader: str, *, imports: bool
) -> tuple[float, bool] | None:
    """Seconds of the fastest peer; whether it is only known that all take longer than that."""
    names = rivals(key, reader)
    known = [item for name in names if (item := found(figures, key, name)) and item["seconds"]]
    if known:
        return min(item["seconds"] + imports * item["imports"] for item in known), False
    tried = any(found(figures, (key[0], key[1], "disk", key[3]), name) for name in names)
    return (TIMEOUT, True) if tried else None


def ratio(figures: Figures, key: tuple[str, str, str, str], reader: str, *, imports: bool = False) -> str:
    """How many times as fast as the nearest peer."""
    ours, peer = found(figures, key, reader), nearest(figures, key, reader, imports=imports)
    if ours is None or peer is None:
        return ""
    if ours["seconds"] is None:
        return ours["failure"]
    value = peer[0] / (ours["seconds"] + imports * ours["imports"])
    text = f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 20 else f"{value:.0f}"
    return f"> {text}" if peer[1] else f"**{text}**" if value < 1 else text


def seconds(item: Mapping[str, Any] | None) -> str:
    """A time, or why there is none."""
    if item is None:
        return ""
    if item["seconds"] is None:
        return str(item["failure"])
    value = item["seconds"]
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def traffic(item: Mapping[str, Any] | None) -> str:
    """Requests and megabytes."""
    if item is None:
        return ""
    if item["requests"] is None:
        return str(item["failure"])
    return f"{item['requests']:,} / {item['bytes'] / 1e6:.2f}"


def measured(figures: Figures) -> list[str]:
    """The sizes that there are figures of."""
    there = {key.partition("|")[0] for key in figures}
    return [size for size in SIZES if size in there]


def summary(figures: Figures, reader: str, *, imports: bool = False) -> str:
    """How many times as fast as the nearest peer, everywhere."""
    sizes = measured(figures)
    header = ("", *(f"{size}, {place}" for place in PLACES for size in sizes))
    lines = []
    for kind in KINDS:
        for aim in AIMS:
            own = reader
            if reader == "Ziggurat indexed" and not kind.startswith("jp2"):
                own = "Ziggurat again"
            keys = [(size, kind, place, aim) for place in PLACES for size in sizes]
            cells = [ratio(figures, key, own, imports=imports) for key in keys]
            if any(cells):
                lines.append([f"{SHORT[kind]}, {aim}", *cells])
    return table(header, lines)


def times(figures: Figures, size: str, place: str) -> str:
    """Seconds of everybody, and the ratios of every peer to Ziggurat cold."""
    there = [name for name in PEERS if any(k.startswith(f"{size}|") and k.endswith(f"|{name}") for k in figures)]
    names = [
        name for name in there if (name in REMOTE or name == "GDAL average") == (place != "disk") or name in REMOTE
    ]
    names = [name for name in names if name != "GDAL vsicurl"] if place == "disk" else names
    if place == "disk":
        names = [name for name in PEERS if name in there and name != "GDAL vsicurl"]
    lines = []
    for kind in KINDS:
        for aim in AIMS:
            key = (size, kind, place, aim)
            if found(figures, key, "Ziggurat") is None:
                continue
            ours = [seconds(found(figures, key, name)) for name in OURS]
            peers = [_peer(figures, key, name) for name in names]
            lines.append([f"{SHORT[kind]}, {aim}", *ours, *peers])
    return table(("", *OURS.values(), *(PEERS[name] for name in names)), lines)


def _peer(figures: Figures, key: tuple[str, str, str, str], name: str) -> str:
    item, ours = found(figures, key, name), found(figures, key, "Ziggurat")
    if item is None:
        local = found(figures, (key[0], key[1], "disk", key[3]), name)
        return f"({local['failure']})" if local is not None and local["failure"] else ""
    text = seconds(item)
    if item["seconds"] is not None and ours is not None and ours["seconds"]:
        text += f" ({item['seconds'] / ours['seconds']:.1f})"
    return text


def requests(figures: Figures, size: str) -> str:
    """Requests and megabytes of everybody, counted by the relay."""
    place = PLACES[2]
    lines = []
    for kind in KINDS:
        for aim in AIMS:
            key = (size, kind, place, aim)
            if found(figures, key, "Ziggurat") is not None:
                lines.append([f"{SHORT[kind]}, {aim}", *(traffic(found(figures, key, name)) for name in REMOTE)])
    header = ("", *(OURS.get(name) or PEERS[name] for name in REMOTE))
    return table(header, lines)


def differences(figures: Figures) -> str:
    """Where pixels are not Ziggurat's: the largest mean absolute difference of each peer."""
    lines = []
    for kind in KINDS:
        for aim in AIMS:
            cells = []
            for name in ("Ziggurat", *PEERS):
                values = [
                    item["difference"]
                    for size in SIZES
                    for place in PLACES
                    if (item := found(figures, (size, kind, place, aim), name)) and item["seconds"] is not None
                ]
                known = [value for value in values if value is not None]
                cells.append(f"{max(known):.2f}" if known else "other size" if values else "")
            if any(cells):
                lines.append([f"{SHORT[kind]}, {aim}", *cells])
    return table(("", "Ziggurat", *PEERS.values()), lines)


def report(figures: Figures, notes: Mapping[str, str]) -> str:
    """The section."""
    sizes = measured(figures)
    versions = "; ".join(sorted({value for key, value in notes.items() if key.startswith("version|")}))
    imports = {
        name: sorted(item["imports"] for key, item in figures.items() if key.endswith(f"|{name}") and item["seconds"])
        for name in ("Ziggurat", "GDAL", "libvips", "tifffile", "large_image")
    }
    medians = ", ".join(f"{name} {values[len(values) // 2]:.2f} s" for name, values in imports.items() if values)
    parts = [
        "## Windows",
        f"`make bench-window` on {datetime.now(UTC):%Y-%m-%d}: {machine()}. {versions}.",
        *TEXT,
        f"Imports are not in the figures unless that is said: {medians}.",
        "### How many times as fast as the nearest peer",
        COLD,
        summary(figures, "Ziggurat"),
        SAMPLED,
        summary(figures, "Ziggurat sampled"),
        WARM,
        summary(figures, "Ziggurat indexed"),
        f"Cold again, with the imports of everybody in the time ({medians}), as whole commands have it:",
        summary(figures, "Ziggurat", imports=True),
    ]
    for size in sizes:
        lengths = ", ".join(
            f"{SHORT[kind]} {int(notes[f'size|{size}|{kind}']) / 1e6:,.0f} MB"
            for kind in KINDS
            if f"size|{size}|{kind}" in notes
        )
        indexes = "; ".join(
            f"{SHORT[kind]} {notes[f'index|{size}|{kind}|disk'].partition(', ')[2]}"
            for kind in KINDS
            if f"index|{size}|{kind}|disk" in notes
        )
        parts += [f"### {size}", f"Files: {lengths}. Indexes: {indexes}."]
        for place in PLACES:
            parts += [f"{size}, {place}: seconds, and for peers in brackets how many times those of Ziggurat cold."]
            parts += [times(figures, size, place)]
        parts += [f"{size}: requests / MB fetched, counted by the relay.", requests(figures, size)]
    parts += ["### The same pixels?", FIDELITY, differences(figures)]
    return "\n\n".join(parts)


TEXT = (
    (
        "A photograph with noise (standard deviation 1.5); for the larger sizes a part of it is repeated, and in the "
        "TIFFs the noise is not repeated along a row: "
        + "; ".join(f"{SHORT[kind]} is {title}" for kind, title in KINDS.items())
        + ". Strips are a row each, as libtiff makes them by default."
    ),
    (
        "Three readings: a window of 512 x 512 at full resolution near the middle; one of as many pixels at an eighth "
        "of the resolution; the whole image at about 1000 pixels. Every reading is a fresh process, from opening to "
        "pixels, the median of three, all readers taking turns; a reading of more than 5 s is made once, and ended "
        f"after {TIMEOUT:.0f} s; a peer that fails on the disk is not tried on S3, nor large_image where libvips "
        "fails. A process has 18 GiB of address space. Files on the disk are in the page cache, for all alike. S3 is a "
        "Ceph gateway on loopback; S3 + 30 ms is the same behind a relay that lets each request wait and counts it."
    ),
    (
        "Ziggurat is measured cold (empty cache, no index), sampled (coarse readings of strips only: single pixels "
        "instead of means, empty cache), indexed (JP2 only: index made before and given, empty cache), and again (the "
        "reading after a cold one, in another process, with the cache that the first left). "
        "Peers: rasterio with GDAL's recommended options for remote files, by /vsis3/, and the full-resolution window "
        "by /vsicurl/, too; libvips by pyvips (no S3); tifffile by its Zarr store or memory map, over s3fs; "
        "large_image with the source that it chooses, libvips here (no S3 of its own). Levels beside a file "
        "(.ovr) are made beforehand for nobody; where Ziggurat makes them for a cold overview, that is in its time."
    ),
)

COLD = (
    "Ziggurat cold, with an empty cache and no index, against the fastest peer; below 1, in bold, it is "
    f"behind. `>` where no peer succeeds within {TIMEOUT:.0f} s and its memory: these are taken for it. Levels and "
    "overviews of strips, which hold full resolution alone, are means of all pixels: the peers are those that average, "
    "too (GDAL told to, libvips, large_image)."
)

SAMPLED = (
    "The same readings as single pixels (`sampled=True`), with an empty cache, against the fastest peer that takes "
    "single pixels, too: GDAL by its default of the nearest, tifffile by leaving out rows and columns."
)

WARM = (
    "With an index made before and an empty cache for JP2; for TIFF, which needs no index, the second reading of the "
    "same place on the same machine. Peers keep nothing from one process to the next."
)

FIDELITY = (
    "Mean absolute difference, in 8-bit steps: of the full-resolution windows from the pixels that went into the file "
    "where it is lossless, else from Ziggurat's. Where a file has no level of that size, GDAL takes the nearest pixel "
    "unless told to average, tifffile leaves out rows and columns, and Ziggurat, libvips and large_image average or "
    "resample; overviews that come from a level of the file differ in the last shrinking."
)
