"""What one fresh process is told to read, and what it says afterwards. Peers' interpreters import this, too."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

type Aim = Literal["window", "level", "overview"]

AIMS: tuple[Aim, ...] = ("window", "level", "overview")

SIDE = 512
"""Pixels a side of the windows."""

LEVEL = 3
"""The coarser level: an eighth of each side."""

TIMEOUT = 40.0
"""Seconds that a reading may take."""

OVERVIEW = 1000
"""Pixels of the overview's long side, about: whoever has levels only takes the next one."""


@dataclass(frozen=True, slots=True)
class Task:
    """One reading.

    Attributes:
        reader: whose.
        kind: of file, as ``window_files`` names it.
        aim: what is read.
        local: path of the file, or None where it lies in a store.
        endpoint: URL of the store.
        key: bucket and name in the store.
        size: height and width of the image.
        box: (y0, x0, y1, x1), the window at full resolution, which a coarser level is read under.
        index: path of an index that Ziggurat is given.
        output: where the pixels are put, for comparison.
    """

    reader: str
    kind: str
    aim: Aim
    local: str | None
    endpoint: str
    key: str
    size: tuple[int, int]
    box: tuple[int, int, int, int]
    index: str | None
    output: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width that are wanted."""
        if self.aim == "overview":
            height, width = self.size
            longest = max(height, width)
            return max(1, round(height * OVERVIEW / longest)), max(1, round(width * OVERVIEW / longest))
        y0, x0, y1, x1 = self.coarse
        return y1 - y0, x1 - x0

    @property
    def level(self) -> int:
        """The level that the window lies on."""
        return LEVEL if self.aim == "level" else 0

    @property
    def coarse(self) -> tuple[int, int, int, int]:
        """The window on its level's grid."""
        y0, x0, y1, x1 = self.box
        return y0 >> self.level, x0 >> self.level, y1 >> self.level, x1 >> self.level

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Self:
        """From JSON."""
        values = json.loads(text)
        values["size"] = tuple(values["size"])
        values["box"] = tuple(values["box"])
        return cls(**values)


def box_for(size: tuple[int, int], aim: Aim) -> tuple[int, int, int, int]:
    """The window near the middle, inside one repetition of the sample, across the corner of four tiles of 1024."""
    height, width = size
    if aim == "window":
        y0, x0 = height // 2 // 2048 * 2048 + 768, width // 2 // 2048 * 2048 + 768
        return y0, x0, y0 + SIDE, x0 + SIDE
    side = SIDE << LEVEL
    high, wide = min(side, height), min(side, width)
    y0, x0 = (height - high) // 2 // 64 * 64, (width - wide) // 2 // 64 * 64
    return y0, x0, y0 + high, x0 + wide


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process says: seconds of its imports and from opening to pixels, and its versions."""

    imports: float
    seconds: float
    peak: int
    version: str

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Self:
        """From JSON."""
        return cls(**json.loads(text))


def work_folder(parent: Path) -> Path:
    """Where files and figures of this bench lie."""
    return parent / "ziggurat-window"
