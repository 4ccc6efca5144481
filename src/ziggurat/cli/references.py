"""``ziggurat references URL... OUT``: an image's levels as a Zarr group of spans of its own file."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ziggurat.cli.parsing import NO_NETWORK, Network, publish
from ziggurat.convert.text import size, visible
from ziggurat.errors import TargetExists, UsageError
from ziggurat.interop.files import planes_at
from ziggurat.interop.kerchunk import write_json, write_parquet
from ziggurat.interop.references import References
from ziggurat.interop.references import references as find
from ziggurat.storage.urls import ICECHUNK


def references(
    *places: Annotated[str, Parameter(name="URL... OUT")],
    stack: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    network: Network = NO_NETWORK,
) -> None:
    """Write an image's levels as a Zarr group whose chunks are spans of the image's own file.

    Nothing is copied: readers with zarr, imagecodecs-zarr and fsspec or icechunk fetch the spans they need. The tiles
    of a JPEG 2000 image serve all its levels, once `ziggurat transcode --layout chunks` has laid it out so.

    Args:
        places: paths or URLs of the image, or of the planes of a stack in their order, or a folder or a pattern of
            them; then what to write: NAME.json or NAME.parquet (a folder) for fsspec, or icechunk:PLACE for an
            Icechunk repository at a path or s3: URL.
        stack: make axes z and t of the planes within a file too, even of a single one.
        overwrite: replace OUT if it exists; an Icechunk repository gets a new snapshot anyway.
        network: how stores are reached.
    """
    network.options()
    if len(places) < 2:  # noqa: PLR2004 - one to read, one to write
        raise UsageError("give the URL of an image, and where to write the references")
    *urls, out = places
    named = [_absolute(url) for url in urls]
    with closing(planes_at(named if len(named) > 1 else named[0], stack=stack)) as planes:
        found = find(planes)
    print(_written(found, out, overwrite=overwrite))
    _say(found)


def _absolute(url: str) -> str:
    """References are read from anywhere: a path among them is absolute."""
    return str(Path(url).absolute()) if "://" not in url and not url.startswith("file:") else url


def _written(found: References, out: str, *, overwrite: bool) -> str:
    if out.startswith(ICECHUNK):
        from ziggurat.interop.icechunk import write_icechunk  # noqa: PLC0415 - an extra

        snapshot = write_icechunk(found, out.removeprefix(ICECHUNK))
        return f"{visible(out)}: snapshot {snapshot}"
    if out.endswith(".json"):
        return f"{visible(publish(lambda path: write_json(found, path), out, overwrite=overwrite))}"
    if out.endswith((".parquet", ".parq")):
        if Path(out).exists():
            raise TargetExists(f"{out} exists already; remove the folder, or choose another name")
        write_parquet(found, Path(out))
        return visible(out)
    raise UsageError(f"references are written to NAME.json, NAME.parquet or icechunk:PLACE, not to {out}")


def _say(found: References) -> None:
    """A line a level: what reading all of it takes."""
    finest = int(found.levels[0].length.sum())
    files = len(set(found.urls))
    print(f"  {files} file{'s' if files > 1 else ''}")
    for number, level in enumerate(found.levels):
        read = int(level.length.sum())
        shape = " x ".join(map(str, level.grid.shape))
        print(
            f"  level {number}: {shape} in {level.offset.size:,} chunks, {size(read)}, "
            f"{100 * read / max(1, finest):.1f} % of level 0"
        )
