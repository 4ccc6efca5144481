"""Damaged, lying and malicious sources and names: each is an error on its own row, and the rest of the job is done."""

import io
import os
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from jobs import (
    as_recorded,
    collection,
    convert,
    encoded,
    files,
    finish,
    picture,
    rows,
    start,
    write_image,
)
from ziggurat import errors

MUTANTS = 16
"""Of every format."""

CODES = {name for name in dir(errors) if isinstance(getattr(errors, name), type)} | {"NameCollision"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def good(folder: Path) -> set[str]:
    """Two good images that every job here must get done."""
    write_image(folder / "good1.png", seed=1)
    write_image(folder / "good2.jp2", seed=2)
    return {"good1.png", "good2.jp2"}


def check(out: Path, done: set[str]) -> dict[str, dict[str, object]]:
    """Requires that a job ended well for exactly these images, and with an honest error for the others."""
    ledger = out.with_name("out.zgj")
    found = rows(ledger)
    assert {name for name, row in found.items() if row["state"] == "done"} >= done
    for name, row in found.items():
        assert row["state"] in {"done", "failed", "refused", "deferred", "quarantined"}, name
        if row["state"] != "done":
            assert row["error_class"] in CODES, row
            assert len(str(row["error_message"])) > 20
    assert as_recorded(ledger, out)
    return found


# -- damaged files ----------------------------------------------------------------------------------------------------


def mutants(data: bytes, seed: int) -> list[bytes]:
    """Files with flipped bits, overwritten runs, swapped pieces and missing ends; half of it in the header."""
    choose = random.Random(seed)
    made = []
    for number in range(MUTANTS):
        mutant = bytearray(data)
        reach = min(len(data), 200) if number % 2 else len(data)
        match number % 4:
            case 0 | 1:
                for _ in range(choose.randint(1, 12)):
                    mutant[choose.randrange(reach)] ^= 1 << choose.randrange(8)
            case 2:
                at = choose.randrange(reach)
                mutant[at : at + choose.randint(1, 40)] = choose.randbytes(choose.randint(1, 40))
            case _:
                del mutant[choose.randrange(len(data)) :]
        made.append(bytes(mutant))
    return made


def test_mutants_of_every_format_end_in_a_verdict_each(folder: Path, out: Path) -> None:
    done = good(folder)
    for seed, suffix in enumerate((".jp2", ".tif", ".png", ".jpg", ".webp")):
        for number, mutant in enumerate(mutants(encoded(picture(seed=seed), suffix), seed)):
            (folder / f"m{number:02}{suffix}").write_bytes(mutant)
            (folder / f"whole{suffix}").write_bytes(encoded(picture(seed=seed), suffix))
            done |= {f"whole{suffix}"}
    result = convert(folder, out)
    found = check(out, done)
    assert (result.code, len(found)) == (3, 5 * MUTANTS + 7)
    failed = [row for row in found.values() if row["state"] in {"failed", "refused"}]
    assert len(failed) > MUTANTS
    assert all(row["source"] in str(row["error_message"]) for row in failed)
    assert not [row for row in found.values() if row["error_class"] == "WorkerCrashed"]


# -- headers that lie -------------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb() -> bytes:
    rows_ = zlib.compress(bytes(60_001 * 40), 9)
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", rows_) + png_chunk(b"IEND", b"")


def png_icc_bomb() -> bytes:
    """A good image with a profile that inflates to 2 GiB."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(128)) + packer.flush()
    image = encoded(picture(), ".png")
    text = png_chunk(b"zTXt", b"Comment\0\0" + bomb)
    return image[:33] + png_chunk(b"iCCP", b"profile\0\0" + bomb) + text + image[33:]


def jp2_bomb(side: int) -> bytes:
    data = bytearray(encoded(picture(), ".jp2"))
    siz = data.index(b"\xff\x51")
    struct.pack_into(">IIIIIIII", data, siz + 6, side, side, 0, 0, side, side, 0, 0)
    ihdr = data.index(b"ihdr")
    struct.pack_into(">II", data, ihdr + 4, side, side)
    return bytes(data)


def tiff_of(entries: list[tuple[int, int, int, int]], *, big: bool) -> bytes:
    """A TIFF of one directory: (tag, type, count, value)."""
    if big:
        body = struct.pack("<Q", len(entries)) + b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
        return b"II\x2b\0\x08\0\0\0" + struct.pack("<Q", 16) + body + bytes(8)
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II\x2a\0" + struct.pack("<I", 8) + body + bytes(4)


REST = [(258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 100)]
"""Of a directory of 8-bit grey samples in one uncompressed strip."""


def tiff_bomb(width: int, height: int, *, big: bool, count: int = 1) -> bytes:
    strips = [(tag, kind, count if tag in {273, 279} else number, value) for tag, kind, number, value in REST]
    return tiff_of([(256, 4, 1, width), (257, 4, 1, height), *strips], big=big)


def webp_bomb() -> bytes:
    frame = b"\x2f" + struct.pack("<I", 16383 | 16383 << 14) + bytes(20)
    chunk = b"VP8L" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg_bomb() -> bytes:
    data = bytearray(encoded(picture(), ".jpg"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65_500, 65_500)
    return bytes(data)


def own_tail() -> bytes:
    """A TIFF whose directory is its own successor."""
    data = tiff_bomb(16, 16, big=False)
    return data[:-4] + struct.pack("<I", 8)


BOMBS: dict[str, Callable[[], bytes]] = {
    "empty.jp2": lambda: b"",
    "one.png": lambda: b"\x89",
    "pixels.png": png_bomb,
    "siz31.jp2": lambda: jp2_bomb((1 << 31) - 1),
    "siz60000.jp2": lambda: jp2_bomb(60_000),
    "width31.tif": lambda: tiff_bomb(1 << 31, 1 << 31, big=False),
    "width63.tif": lambda: tiff_of([(256, 16, 1, 1 << 63), (257, 16, 1, 1 << 63), *REST], big=True),
    "sum31.tif": lambda: tiff_bomb(1 << 31, 1 << 31, big=True),
    "width20000.tif": lambda: tiff_bomb(20_000, 20_000, big=False),
    "counts.tif": lambda: tiff_bomb(1 << 20, 1 << 20, big=True, count=1 << 60),
    "entries.tif": lambda: b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60) + bytes(64),
    "loop.tif": own_tail,
    "vp8l.webp": webp_bomb,
    "sides.jpg": jpeg_bomb,
}


def test_headers_that_lie_cost_their_own_row_and_little_memory(folder: Path, out: Path) -> None:
    done = good(folder)
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    (folder / "profile.png").write_bytes(png_icc_bomb())
    watch = MemoryWatch()
    job = start("convert", folder, out, "--to", "jpeg", "--memory", "1G", "--workers", "1")
    with watch.over(job.pid):
        result = finish(job)
    found = check(out, done)
    assert result.code == 3
    wrong = {name for name in BOMBS if found[name]["state"] == "done"}
    assert not wrong
    assert not [row for row in found.values() if row["error_class"] == "WorkerCrashed"]
    assert watch.peak < 1 << 30, f"{watch.peak >> 20} MiB at the peak"


class MemoryWatch:
    """Samples what a process and its children have resident."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()

    def over(self, pid: int) -> "MemoryWatch":
        self._thread = threading.Thread(target=self._sample, args=(pid,))
        return self

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self, pid: int) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._stop.wait(0.02):
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
                pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in [str(pid), *children]]
            except (OSError, IndexError):
                continue
            self.peak = max(self.peak, sum(pages) * page)


# -- names and places -------------------------------------------------------------------------------------------------


def test_no_name_of_a_manifest_leads_out_of_the_destination(folder: Path, out: Path, tmp_path: Path) -> None:
    collection(folder, 1)
    names = ["../x", "../../x", "/etc/x", "a/../../x", "a//b", ".", "..", "x\\..\\y", "C:x", "a\tb", "x" * 5000, "~/x",
             "nul", "a/./b", " ", "a\x1b[0m", "-rf", "$(x)"]  # fmt: skip
    lines = ["source,name", *(f"in/a00.png,{name}" for name in names), "in/a00.png,fine"]
    (tmp_path / "m.csv").write_text("\n".join(lines), encoding="utf-8")
    before = files(tmp_path)
    assert convert(tmp_path / "m.csv", out, "--name", "{name}").code == 3
    after = {name for name in files(tmp_path) if not name.startswith("out")}
    assert after == before
    assert not Path("/etc/x.jpg").exists()
    written = files(out)
    assert "fine.jpg" in written
    assert not any(".." in Path(name).parts for name in written)
    assert len(written) < len(names)


@pytest.mark.parametrize(
    "source",
    ["/dev/zero", "/dev/random", "/proc/self/mem", "fifo", "socket", "folder", "loop", "dangling", "", "x" * 300,
     "http://127.0.0.1:9/x.png", "s3://", "ftp://example.org/x.png", "file:///etc/shadow/x", "memory:nothing"],
)  # fmt: skip
def test_sources_that_are_no_files_fail_alone_and_at_once(folder: Path, out: Path, source: str) -> None:
    collection(folder, 1)
    place = folder.parent
    os.mkfifo(place / "fifo")
    (place / "folder").mkdir()
    (place / "loop").symlink_to(place / "loop")
    (place / "dangling").symlink_to(place / "nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fsencode(os.path.relpath(place / "socket")))
        (place / "m.csv").write_text(f"source,name\n{source},bad\nin/a00.png,fine\n", encoding="utf-8")
        began = time.monotonic()
        result = convert(place / "m.csv", out, "--name", "{name}")
    assert (result.code, files(out)) == (3, {"fine.jpg"})
    assert time.monotonic() - began < 90
    ledger = out.with_name("out.zgj")
    bad = next(row for row in rows(ledger).values() if row["target"] != "fine.jpg")
    assert bad["error_class"] in CODES
    assert bad["state"] in {"refused", "failed"}


def test_odd_names_in_a_folder_are_converted_or_refused_never_lost(folder: Path, out: Path) -> None:
    data = encoded(picture(), ".png")
    folder.mkdir()
    names = [b"caf\xe9.png", b"new\nline.png", b"esc\x1b[2J.png", b"quote'\".png", b"100%.png", b"star*.png", b"-n.png",
             b"tab\t.png", b"semi;colon.png", "日本語.png".encode(), "e\u0301.png".encode(), b"{path}.png"]  # fmt: skip
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(data)  # noqa: PTH118 - bytes
    (folder / ("long" * 62 + ".png")).write_bytes(data)
    (folder / "loop").symlink_to(folder)
    (folder / "self.png").symlink_to(folder / "self.png")
    os.mkfifo(folder / "pipe.png")
    result = convert(folder, out)
    found = rows(out.with_name("out.zgj"))
    assert len(found) == len(names) + 1
    counts = [row["state"] for row in found.values()]
    assert counts.count("done") + counts.count("refused") + counts.count("failed") == len(found)
    assert counts.count("done") >= 8
    assert result.code == (0 if set(counts) == {"done"} else 3)
    assert as_recorded(out.with_name("out.zgj"), out)


def test_rows_that_are_no_utf8_fail_alone(folder: Path, out: Path) -> None:
    collection(folder, 2)
    body = b"source,name\nin/a00.png,one\nin/caf\xe9.png,two\nin/a01.png,thr\xe9e\nin/a01.png,four\n"
    (folder.parent / "m.csv").write_bytes(body)
    assert convert(folder.parent / "m.csv", out, "--name", "{name}").code == 3
    assert files(out) == {"one.jpg", "four.jpg"}


def test_a_link_in_the_destination_that_leads_out_of_it_is_not_followed(folder: Path, out: Path) -> None:
    write_image(folder / "trap" / "a.png")
    write_image(folder / "fine.png")
    outside = out.parent / "outside"
    outside.mkdir()
    out.mkdir()
    (out / "trap").symlink_to(outside)
    result = convert(folder, out)
    found = rows(out.with_name("out.zgj"))
    assert (result.code, found["a.png"]["error_class"], found["fine.png"]["state"]) == (3, "TargetRefused", "done")
    assert not any(outside.iterdir())


def test_a_link_at_the_target_itself_is_not_followed(folder: Path, out: Path) -> None:
    write_image(folder / "a.png")
    victim = out.parent / "victim"
    victim.write_bytes(b"precious")
    out.mkdir()
    (out / "a.jpg").symlink_to(victim)
    assert convert(folder, out).code == 3
    assert convert(folder, out, "--overwrite", "--retry-failed").code == 0
    assert victim.read_bytes() == b"precious"
    assert not (out / "a.jpg").is_symlink()


# -- manifests --------------------------------------------------------------------------------------------------------


def test_a_manifest_with_broken_lines_fails_those_lines_alone(folder: Path, out: Path) -> None:
    collection(folder, 3)
    lines = ["source,item", "in/a00.png,1", "in/a01.png", "in/a01.png,1,2,3", f"{'x' * 10_000_000},1", "in/a02.png,1",
             'in/a01.png,"never closed', "in/a01.png,1"]  # fmt: skip
    (folder.parent / "m.csv").write_text("\n".join(lines), encoding="utf-8")
    watch = MemoryWatch()
    job = start("convert", folder.parent / "m.csv", out, "--to", "jpeg", "--workers", "1", "--memory", "1G")
    with watch.over(job.pid):
        result = finish(job)
    assert (result.code, files(out)) == (3, {"in/a00.jpg", "in/a02.jpg"})
    problems = [row["error_message"] for row in rows(out.with_name("out.zgj")).values() if row["state"] != "done"]
    assert any("lines 7 to 8" in str(problem) for problem in problems)
    assert watch.peak < 1 << 30
    assert len(result.said) < 20_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\x00\x01\x02",
        b"a,b\n1,2\n",
        b"source,source\n",
        b"source,,x\n",
        b"\xff\xfe\x00",
        b"s" * 10_000_000,
    ],
    ids=["empty", "blank", "binary", "no source", "twice", "nameless", "utf-16", "long"],
)
def test_a_manifest_that_is_none_is_a_usage_error_and_leaves_nothing(tmp_path: Path, out: Path, content: bytes) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    result = convert(tmp_path / "m.csv", out)
    assert (result.code, files(tmp_path)) == (2, {"m.csv"})
    assert 20 < len(result.err) < 10_000


def test_a_tiff_of_one_giant_compressed_strip_is_deferred_with_its_reason(folder: Path, out: Path) -> None:
    done = good(folder)
    file = io.BytesIO()
    tifffile.imwrite(
        file, np.zeros((20_000, 20_000, 3), np.uint8), photometric="rgb", compression="zlib", rowsperstrip=20_000
    )
    (folder / "strip.tif").write_bytes(file.getvalue())
    job = start("convert", folder, out, "--to", "jpeg", "--workers", "1", "--memory", "1G")
    assert finish(job).code == 3
    row = check(out, done)["strip.tif"]
    assert (row["state"], row["error_class"], "--memory" in str(row["error_message"])) == (
        "deferred", "OutOfMemory", True,
    )  # fmt: skip


def test_the_codestream_is_believed_where_a_box_contradicts_it(folder: Path, out: Path) -> None:
    folder.mkdir()
    wide = bytearray(encoded(picture(64, 96), ".jp2"))
    ihdr = wide.index(b"ihdr")
    struct.pack_into(">II", wide, ihdr + 4, 640, 960)
    (folder / "jp2.jp2").write_bytes(wide)
    assert convert(folder, out).code == 0
    row = rows(out.with_name("out.zgj"))["jp2.jp2"]
    assert (row["height"], row["width"]) == (64, 96)
