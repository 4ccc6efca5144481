"""The document at the root of a destination of groups: what there is, and what the manifest says of it."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

from ziggurat.convert.ledger.view import View
from ziggurat.errors import TargetExists
from ziggurat.model import JSON
from ziggurat.storage.destination import Destination, digests_of
from ziggurat.storage.ranges import ByteRange
from ziggurat.storage.stored import writing
from ziggurat.storage.tree import MARK

VERSION: Final = 1


def publish_collection(ledger: Path, destination: Destination, token: str) -> int:
    """Puts ``zarr.json`` at the root: a group whose attributes list the images, those of earlier jobs with them.

    Args:
        ledger: of the job.
        destination: of the job.
        token: names the temporary file.

    Returns:
        Images listed; of none there is no document.

    Raises:
        TargetExists: if another program's ``zarr.json`` lies there.
        WriteError: if it cannot be put there.
    """
    images = _known(destination)
    with View(ledger) as view:
        columns = view.manifest_columns()
        for target, item, *values in view.done_records():
            entry: dict[str, JSON] = {"path": str(target), "item": item}
            if columns:
                entry["columns"] = dict(zip(columns, values, strict=True))
            images[str(target)] = entry
    if not images:
        return 0
    listed: list[JSON] = [images[path] for path in sorted(images)]
    attributes: dict[str, JSON] = {"ziggurat": {"collection": {"version": VERSION, "images": listed}}}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    path = destination.temporary(MARK, token)
    try:
        with writing(str(path)):
            path.write_text(json.dumps(document), encoding="utf-8")
        destination.publish(path, MARK, digests_of(path), overwrite=True)
    finally:
        destination.cleanup(MARK, token)
    return len(listed)


def _known(destination: Destination) -> dict[str, JSON]:
    """Images that are listed already, by path."""
    if destination.exists(MARK) is None:
        return {}
    with closing(destination.source(MARK)) as source:
        data = source.read_ranges([ByteRange(0, source.size)])[0]
    try:
        listed = cast("Any", json.loads(data))["attributes"]["ziggurat"]["collection"]["images"]
        return {entry["path"]: entry for entry in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise TargetExists(
            f"{destination.url(MARK)} is not a list of images of ours; the outputs are all in place, but not listed"
        ) from error
