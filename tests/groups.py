"""What tests of jobs share whose outputs are groups."""

import hashlib
import json
from pathlib import Path

from jobs import files


def digest(folder: Path) -> tuple[str, int]:
    """What identifies a folder, made anew."""
    found = [(name, (folder / name).read_bytes()) for name in sorted(files(folder))]
    text = "".join(f"{hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in found)
    return hashlib.sha256(text.encode()).hexdigest(), sum(len(data) for _, data in found)


def listed(root: Path) -> dict[str, dict[str, object]]:
    images = json.loads((root / "zarr.json").read_text())["attributes"]["ziggurat"]["collection"]["images"]
    return {image["path"]: image for image in images}
