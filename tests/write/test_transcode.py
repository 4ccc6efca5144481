"""JPEG 2000 files in another layout: boxes kept, pixels kept, valid where they were valid, and never a bad surprise."""

import csv
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import ziggurat
from transcoding import LAYOUTS, bare, coded, equal, openjpeg_coded, pixels, planes
from ziggurat.codestream import rewrap
from ziggurat.codestream.boxes import UUID_GEOTIFF, Box, parse_box, parse_header
from ziggurat.codestream.recoding import Recoding
from ziggurat.errors import (
    TargetExists,
    UnsupportedFeature,
    UsageError,
    VerificationFailed,
    ZigguratError,
)
from ziggurat.storage.local_destination import LocalDestination
from ziggurat.testing.sources import BytesSource
from ziggurat.write import transcode as module
from ziggurat.write.transcode import Report, transcode

WORKER = Path(__file__).parents[1] / "transcode_corpus_worker.py"
LARGEST = 3 << 19
"""Bytes of the real files that are transcoded: larger ones say nothing new."""

DAMAGED = {"4241ac039aba57e6a9c948d519d94216_asan_heap-oob_14650f2_7469_602.jp2"}
"""Real files that decode around their damage, which has to be understood to lay them out anew."""


def written(data: bytes, folder: Path, recoding: Recoding | None = None, name: str = "out.jp2") -> tuple[bytes, Report]:
    destination = LocalDestination(folder)
    report = transcode(BytesSource(data, "memory:it"), destination, name, recoding or Recoding(), overwrite=True)
    assert [path.name for path in folder.iterdir()] == [name]
    return (folder / name).read_bytes(), report


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of all boxes of a file."""
    found = []
    at = 0
    while at < len(data):
        item = parse_box(data, at, offset=at, limit=len(data))
        assert isinstance(item, Box)
        found.append((item.kind, data[item.start : item.end]))
        at = item.end
    return found


RESOLUTION = box(b"res ", box(b"resc", struct.pack(">HHHHbb", 11811, 1, 300, 7, 0, 2)))


def file(name: str = "tiles") -> bytes:
    """A JP2 with metadata before and behind its codestream."""
    plain = openjpeg_coded(name, "jp2")
    made = b""
    for kind, content in boxes(plain):
        if kind == b"jp2c":
            made += box(b"xml ", b"<before/>")
        made += box(kind, content + RESOLUTION if kind == b"jp2h" else content)
    return made + box(b"uuid", bytes(16) + b"behind") + box(b"free", bytes(7))


# -- boxes ------------------------------------------------------------------------------------------------------------


def test_every_box_stays_as_it_is_and_where_it_is(tmp_path: Path) -> None:
    before, after = boxes(file()), boxes(written(file(), tmp_path)[0])
    assert [kind for kind, _ in after] == [b"jP  ", b"ftyp", b"jp2h", b"xml ", b"jp2c", b"uuid", b"free"]
    assert [item for item in after if item[0] != b"jp2c"] == [item for item in before if item[0] != b"jp2c"]
    assert dict(after)[b"jp2c"] != dict(before)[b"jp2c"]


def test_a_codestream_that_reaches_to_the_end_of_the_file_gets_its_length(tmp_path: Path) -> None:
    plain = openjpeg_coded("tiles", "jp2")
    at = plain.index(b"jp2c") - 4
    made, _ = written(plain[:at] + bytes(4) + plain[at + 4 :], tmp_path)
    assert made == written(plain, tmp_path)[0]
    assert int.from_bytes(made[made.index(b"jp2c") - 4 :][:4]) == len(made) - made.index(b"jp2c") + 4


def test_a_last_box_without_length_still_reaches_to_the_end(tmp_path: Path) -> None:
    data = file() + bytes(4) + b"xml " + b"<open/>"
    assert boxes(written(data, tmp_path)[0])[-1] == (b"xml ", b"<open/>")


def test_what_is_no_box_behind_the_codestream_stays(tmp_path: Path) -> None:
    made, _ = written(file() + b"\0\0\0\3junk", tmp_path)
    assert made.endswith(b"\0\0\0\3junk")
    assert made.removesuffix(b"\0\0\0\3junk") == written(file(), tmp_path)[0]


def test_long_codestreams_get_a_long_length() -> None:
    assert rewrap._head(b"jp2c", 100) == struct.pack(">I4s", 108, b"jp2c")
    assert rewrap._head(b"jp2c", (1 << 32) - 9) == struct.pack(">I4s", (1 << 32) - 1, b"jp2c")
    assert rewrap._head(b"jp2c", (1 << 32) - 8) == struct.pack(">I4sQ", 1, b"jp2c", (1 << 32) + 8)


def test_boxes_that_say_where_packets_lay_are_left_out_with_a_note(tmp_path: Path) -> None:
    data = file() + box(b"cidx", bytes(40)) + box(b"fidx", bytes(9)) + box(b"asoc", box(b"cref", bytes(12)))
    made, report = written(data, tmp_path)
    assert [kind for kind, _ in boxes(made)][-3:] == [b"uuid", b"free", b"asoc"]
    at = len(file())
    assert report.notes == (
        f"box 'cidx' at byte {at} says where packets lay; it is left out",
        f"box 'fidx' at byte {at + 48} says where packets lay; it is left out",
        f"box 'asoc' at byte {at + 65} refers to bytes of files; where that is this file it is no longer right",
    )


def test_fragments_at_fixed_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFeature, match=r"memory:it: box 'ftbl' at byte \d+: codestreams in fragments"):
        written(file() + box(b"ftbl", bytes(10)), tmp_path)


def test_without_levels_size_and_resolution_shrink_too(tmp_path: Path) -> None:
    data = file() + box(b"uuid", UUID_GEOTIFF + b"II*\0")
    made, report = written(data, tmp_path, Recoding(drop_levels=2))
    before, after = boxes(data), boxes(made)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    assert [a[1] == b[1] for a, b in zip(after, before, strict=True)] == [True, True, False, True, False, *[True] * 3]
    old, new = (parse_header(dict(found)[b"jp2h"], offset=0) for found in (before, after))
    assert new.header is not None
    assert (new.header.height, new.header.width) == (44, 53)
    assert new.colours == old.colours
    assert new.resolutions.capture == pytest.approx((11811 / 4, 30000 / 7 / 4))
    assert ["GeoTIFF" in note for note in report.notes] == [True]
    assert equal(planes(made), planes(data, 2))
    with ziggurat.open(str(tmp_path / "out.jp2")) as image:
        assert image.info.size == (44, 53)


def test_a_resolution_is_divided_exactly_where_it_can_be() -> None:
    def ratio(numerator: int, denominator: int, exponent: int, level: int) -> Fraction:
        made, power = rewrap._ratio(struct.pack(">HH", numerator, denominator), struct.pack(">b", exponent), level)
        return Fraction(*struct.unpack(">HH", made)) * Fraction(10) ** int.from_bytes(power, signed=True)

    for numerator, denominator, exponent, level in ((11811, 1, 0, 3), (300, 254, 4, 5), (65535, 1, 0, 1), (1, 1, 2, 9)):
        exact = Fraction(numerator, denominator) * Fraction(10) ** exponent / 2**level
        assert ratio(numerator, denominator, exponent, level) == exact
    close = ratio(65535, 65521, -3, 7)
    assert abs(float(close / (Fraction(65535, 65521) / 1000 / 128)) - 1) < 1e-4
    nothing = struct.pack(">HH", 0, 0)
    assert rewrap._ratio(nothing, b"\0", 3) == (nothing, b"\0")


def test_a_bare_codestream_stays_bare(tmp_path: Path) -> None:
    made, report = written(openjpeg_coded("tiles"), tmp_path / "bare", name="out.j2k")
    assert made == bare(written(openjpeg_coded("tiles", "jp2"), tmp_path / "boxed")[0])
    assert report.after == len(made)
    assert (report.tiles, report.parts, report.packets) == (16, 64, 192)


# -- writing ----------------------------------------------------------------------------------------------------------


def test_nothing_is_replaced_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "out.jp2").write_bytes(b"precious")
    with pytest.raises(TargetExists, match="exists; choose another name, or ask for overwriting"):
        transcode(BytesSource(file()), LocalDestination(tmp_path), "out.jp2", Recoding())
    assert (tmp_path / "out.jp2").read_bytes() == b"precious"
    assert written(file(), tmp_path)[0] != b"precious"


def test_a_source_that_is_damaged_leaves_nothing_behind(tmp_path: Path) -> None:
    data = file("plain")
    with pytest.raises(ZigguratError, match="memory:it"):
        transcode(BytesSource(data[:30000], "memory:it"), LocalDestination(tmp_path), "out.jp2", Recoding())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [700, 20000, 40000])
def test_what_does_not_read_back_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    honest = module._write

    def faulty(source: BytesSource, plan: rewrap.Rewrapping, path: Path) -> None:
        honest(source, plan, path)
        made = bytearray(path.read_bytes())
        where = made.index(b"\xff\x90\x00\x0a", at % len(made)) + 9
        made[where] ^= 4
        path.write_bytes(made)

    monkeypatch.setattr(module, "_write", faulty)
    with pytest.raises(VerificationFailed, match="does not read back and is thrown away"):
        transcode(BytesSource(file()), LocalDestination(tmp_path), "out.jp2", Recoding(tlm=False))
    assert list(tmp_path.iterdir()) == []


def test_a_file_can_replace_itself(tmp_path: Path) -> None:
    path = tmp_path / "scan.jp2"
    path.write_bytes(file())
    with ziggurat.open(str(path)) as image:
        transcode(image.source, LocalDestination(tmp_path), "scan.jp2", Recoding(), overwrite=True)
    assert equal(planes(path.read_bytes()), planes(file()))
    assert path.read_bytes() != file()


# -- other programs ---------------------------------------------------------------------------------------------------


def decompressed(program: str, made: Path, *options: str) -> np.ndarray:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    out = made.with_suffix(".ppm")
    subprocess.run([program, "-i", made, "-o", out, *options], check=True, capture_output=True)
    found = re.fullmatch(rb"P6\n(?:#[^\n]*\n)?(\d+) (\d+)\n255\n(.*)", out.read_bytes(), re.DOTALL)
    assert found
    return np.frombuffer(found[3], np.uint8).reshape(int(found[2]), int(found[1]), 3)


@pytest.mark.parametrize("program", ["opj_decompress", "grk_decompress"])
@pytest.mark.parametrize("name", ["tiles", "layers", "marked", "changes", "offsets"])
def test_other_decoders_see_the_same_pixels(name: str, program: str, tmp_path: Path) -> None:
    written(file(name), tmp_path)
    height, width = pixels().shape[:2]
    decoded = decompressed(program, tmp_path / "out.jp2")
    assert np.array_equal(decoded[:height, :width], pixels())


def test_openjph_sees_the_same_pixels(tmp_path: Path) -> None:
    data = coded("ojph_compress", "-reversible true -num_decomps 4 -tile_size {64,80}", "jph")
    written(data, tmp_path, name="out.jph")
    assert np.array_equal(decompressed("ojph_expand", tmp_path / "out.jph"), pixels())


def valid(path: Path) -> bool:
    """What jpylyzer says."""
    kind = ["--format", "jph"] if path.suffix == ".jph" else ["--format", "j2c"] if path.suffix == ".j2k" else []
    run = subprocess.run(
        [sys.executable, "-m", "jpylyzer.jpylyzer", *kind, path], check=True, capture_output=True, text=True
    )
    (found,) = [item for item in ET.fromstring(run.stdout).iter() if item.tag.endswith("isValid")]  # noqa: S314
    return found.text == "True"


@pytest.mark.parametrize(
    ("name", "recoding"),
    [
        ("tiles", Recoding()),
        ("marked", LAYOUTS["layers"]),
        ("changes", LAYOUTS["components"]),
        ("layers", Recoding(drop_layers=1)),
        ("precincts", Recoding(drop_levels=1)),
        ("lossy", Recoding(drop_levels=2, plt=False)),
    ],
)
def test_what_was_valid_is_valid(name: str, recoding: Recoding, tmp_path: Path) -> None:
    pytest.importorskip("jpylyzer")
    data = openjpeg_coded(name, "jp2")
    (tmp_path / "before").mkdir()
    before = tmp_path / "before" / "in.jp2"
    before.write_bytes(data)
    assert valid(before)
    written(data, tmp_path / "after", recoding)
    assert valid(tmp_path / "after" / "out.jp2")


# -- real and damaged files -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_files_keep_their_pixels(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "JPEG2000.tsv").open(encoding="utf-8", newline="") as table:
        rows = [row["path"] for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)]
    names = [name for name in rows if (path := shared_data / name).is_file() and path.stat().st_size <= LARGEST]
    assert len(names) > 150
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(WORKER.parent), *sys.path])}
    workers = []
    for number in range(2):
        out = tmp_path / str(number)
        out.mkdir()
        command = [sys.executable, WORKER, out, shared_data, *names[number::2]]
        workers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    found = [
        json.loads(line) for worker in workers for line in worker.communicate()[0].splitlines() if line.startswith('["')
    ]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(item[0] for item in found) == sorted(names)
    fine = {"equal", "damaged", "unsupported", "not decoded"}
    wrong = [item for item in found if item[3] not in fine and Path(item[0]).name not in DAMAGED]
    assert wrong == []
    counts = Counter(item[3] for item in found)
    assert counts["equal"] > 110, counts


@pytest.mark.parametrize("name", ["tiles", "marked", "changes", "listed"])
def test_damaged_files_lead_to_errors_of_ours_and_to_nothing_else(name: str, tmp_path: Path) -> None:
    whole = file(name)
    generator = random.Random(f"transcode {name}")
    outcomes: Counter[str] = Counter()
    destination = LocalDestination(tmp_path)
    for number in range(80):
        data = bytearray(whole)
        for _ in range(generator.choice((1, 1, 2, 5))):
            at = generator.randrange(generator.choice((300, 1000, len(data))))
            data[at] = generator.choice((0, 1, 0x7F, 0xFF, data[at] ^ 1 << generator.randrange(8)))
        cut = bytes(data[: generator.randrange(len(data))]) if generator.random() < 0.2 else bytes(data)
        recoding = generator.choice([*LAYOUTS.values(), Recoding(drop_levels=1), Recoding(drop_layers=1)])
        try:
            transcode(BytesSource(cut), destination, f"{number}.jp2", recoding)
        except UsageError:
            outcomes["not so"] += 1
        except ZigguratError:
            outcomes["damaged"] += 1
        else:
            outcomes["written"] += 1
    assert outcomes["damaged"] > 5, outcomes
    assert outcomes["written"] > 5, outcomes
    assert len(list(tmp_path.iterdir())) == outcomes["written"]
