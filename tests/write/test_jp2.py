"""JPEG 2000 and HTJ2K files: laid out as profiles prescribe, equal pixels at every level by every decoder."""

import io
import json
import math
import resource
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import imagecodecs
import numpy as np
import pytest
from PIL import Image as PillowImage

import jobs
import ziggurat
from transcoding import bare, main_header, parts_of
from ziggurat.codec import openjpeg, openjpeg_encode, openjph
from ziggurat.errors import DependencyError, TooManyPixels, UnsupportedFeature, UsageError
from ziggurat.format.exif import build_exif
from ziggurat.geometry import Size, Window
from ziggurat.model import Alpha, ColourSpace, Metadata, Resolution
from ziggurat.write.jp2 import Jp2Options
from ziggurat.write.jp2.check import check
from ziggurat.write.jp2.writer import Htj2kWriter, Jp2Writer
from ziggurat.write.picture import Held

type Pixels = np.ndarray[Any, np.dtype[Any]]

PHOTOGRAPHS = Path(__file__).parents[2] / "samples" / "photographs"
MEMORY = 1 << 30
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
IPTC = b"\x1c\x02\x00\x00\x02\x00\x02\x1c\x02\x05\x00\x04barn"


@cache
def photograph() -> Pixels:
    """(512, 512, 3), real."""
    return imagecodecs.png_decode((PHOTOGRAPHS / "astronaut.png").read_bytes())


@cache
def large(height: int, width: int, bands: int = 1) -> Pixels:
    """The photograph beside itself, mirrored and not."""
    room = ((0, height - 512), (0, width - 512), (0, 0))
    return np.ascontiguousarray(np.pad(photograph()[..., :bands], room, mode="reflect"))


def cut(bands: int, dtype: str, depth: int, height: int = 71, width: int = 83) -> Pixels:
    """A part of the photograph in another type: its codes spread over all of the depth."""
    planes = [np.roll(photograph()[200 : 200 + height, 100 : 100 + width, band % 3], band, 0) for band in range(bands)]
    codes = np.stack(planes, axis=2).astype(np.int64) * ((1 << depth) - 1) // 255
    return (codes - ((1 << (depth - 1)) if dtype[0] == "i" else 0)).astype(dtype)


def held(  # noqa: PLR0913 - one for each trait
    pixels: Pixels,
    *,
    depth: int | None = None,
    space: ColourSpace | None = None,
    alpha: Alpha | None = None,
    icc: bytes | None = None,
    resolution: Resolution | None = None,
    metadata: Metadata | None = None,
) -> Held:
    height, width, bands = pixels.shape
    known = {1: ColourSpace.GREY, 3: ColourSpace.SRGB}
    return Held(
        name="held",
        size=Size(height, width),
        bands=bands,
        dtype=pixels.dtype,
        bit_depth=depth or pixels.dtype.itemsize * 8,
        kind="signed" if pixels.dtype.kind == "i" else "unsigned",
        colour_space=space or known.get(bands - (alpha is not None), ColourSpace.UNKNOWN),
        alpha=alpha,
        icc=icc,
        resolution=resolution,
        metadata=metadata or Metadata(),
        grain=Size(256, width),
        pixels=pixels,
    )


def written(picture: Held, folder: Path, options: Jp2Options | None = None, *, ht: bool = False) -> Path:
    writer = (Htj2kWriter if ht else Jp2Writer)(options)
    path = folder / ("out.jph" if ht else "out.jp2")
    writer.write(picture, path, memory=MEMORY)
    assert [item.name for item in folder.iterdir()] == [path.name]
    return path


def decoded(path: Path, level: int = 0) -> Pixels:
    with ziggurat.open(path.as_posix()) as image:
        return image.read(level)


def decoded_by(program: str, path: Path, level: int) -> Pixels:
    """What an independent decoder makes of a grey or RGB file."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    out = path.with_suffix(".ppm" if "rgb" in path.parent.name else ".pgm")
    option = "-skip_res" if program == "ojph_expand" else "-r"
    subprocess.run([program, "-i", path, "-o", out, option, str(level)], check=True, capture_output=True)
    with PillowImage.open(io.BytesIO(out.read_bytes())) as image:
        pixels = np.asarray(image)
    out.unlink()
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def valid(path: Path) -> bool:
    """What jpylyzer says."""
    command = [sys.executable, "-m", "jpylyzer.jpylyzer", "--format", path.suffix[1:], path]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    (found,) = [item for item in ET.fromstring(run.stdout).iter() if item.tag.endswith("isValid")]  # noqa: S314
    return found.text == "True"


def broken(path: Path, profile: str) -> set[str]:
    """The rules that a file does not keep."""
    with ziggurat.open(path.as_posix()) as image:
        return {rule.name for rule in check(image.source, profile) if not rule.kept}


def decibels(left: Pixels, right: Pixels) -> float:
    error = np.mean((left.astype(float) - right) ** 2)
    peak = 2 ** (8 * left.dtype.itemsize) - 1
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


# -- profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "ht", "programs"),
    [
        ("cloud", False, ["opj_decompress", "grk_decompress"]),
        ("cloud", True, ["ojph_expand", "grk_decompress"]),
        ("bodleian", False, ["opj_decompress", "grk_decompress"]),
        ("ndnp", False, ["opj_decompress", "grk_decompress"]),
        ("kb-dk", False, ["opj_decompress", "grk_decompress"]),
    ],
)
def test_a_profile_is_kept_and_every_decoder_agrees_at_every_level(
    profile: str, *, ht: bool, programs: list[str], tmp_path: Path
) -> None:
    pixels = large(1031, 515)
    path = written(held(pixels), tmp_path, Jp2Options(profile), ht=ht)
    assert broken(path, profile) == set()
    assert valid(path)
    if profile == "ndnp":
        assert decibels(pixels, decoded(path)) > 30
        assert path.stat().st_size <= pixels.nbytes / 8 * 1.02
    else:
        assert np.array_equal(decoded(path), pixels)
    for level in (0, 2, 6):
        for program in programs:
            assert np.array_equal(decoded_by(program, path, level), decoded(path, level)), (program, level)


def test_the_joined_tiles_are_those_of_a_picture_coded_at_once(tmp_path: Path) -> None:
    """Tile by tile or all at once by OpenJPEG itself: the same coefficients, at every level."""
    if shutil.which("opj_compress") is None:
        pytest.skip("opj_compress is not installed")
    pixels = large(1031, 515, 3)
    (tmp_path / "ours").mkdir()
    path = written(held(pixels), tmp_path / "ours")
    source, peer = tmp_path / "in.ppm", tmp_path / "peer.jp2"
    source.write_bytes(b"P6\n515 1031\n255\n" + pixels.tobytes())
    command = ["opj_compress", "-i", source, "-o", peer, "-t", "1024,1024", "-n", "7", "-p", "RPCL"]
    subprocess.run(command, check=True, capture_output=True)
    for level in range(7):
        assert np.array_equal(decoded(path, level), decoded(peer, level)), level


def test_in_cloud_the_beginning_of_the_file_is_a_level(tmp_path: Path) -> None:
    pixels = large(1031, 1100)
    data = bare(written(held(pixels), tmp_path).read_bytes())
    parts = parts_of(data)
    assert [part.tile for part in parts] == list(range(4)) * 7
    head = data[: main_header(data).length]
    tlm = head.index(b"\xff\x55")
    start = head[:tlm] + data[len(head) : parts[4 * 4].offset] + b"\xff\xd9"
    level = imagecodecs.jpeg2k_decode(start, skipres=3)
    assert np.array_equal(level, decoded(tmp_path / "out.jp2", 3)[:, :, 0])


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 1030), (1025, 3), (1024, 1025), (127, 128)])
def test_tiles_at_the_edge_may_be_as_small_as_they_like(height: int, width: int, *, ht: bool, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (max(height, 512), max(width, 512), 1), np.uint8)[
        :height, :width
    ]
    # The most negative sample is where an encoder runs out of bits first.
    pixels[-1, -1] = 0
    path = written(held(pixels), tmp_path, ht=ht)
    assert np.array_equal(decoded(path), pixels)
    assert broken(path, "cloud") == set()
    assert main_header(bare(path.read_bytes())).levels == 6


# -- what a file can hold ---------------------------------------------------------------------------------------------

KINDS = {
    "bilevel": held(cut(1, "u1", 1), depth=1),
    "5 bits": held(cut(1, "u1", 5), depth=5),
    "RGB": held(cut(3, "u1", 8)),
    "12 bits": held(cut(3, "u2", 12), depth=12),
    "16 bits": held(cut(3, "u2", 16)),
    "signed": held(cut(1, "i1", 8)),
    "signed, 12 bits": held(cut(3, "i2", 12), depth=12),
    "grey, alpha": held(cut(2, "u1", 8), alpha="straight"),
    "RGB, alpha, 16 bits": held(cut(4, "u2", 16), alpha="premultiplied"),
    "seven": held(cut(7, "u1", 8)),
    "three hundred": held(cut(300, "u2", 16, 20, 17)),
    "grey, profile": held(cut(1, "u1", 8), icc=bytes(imagecodecs.cms_profile("gray"))),
    "RGB, profile": held(cut(3, "u1", 8), space=ColourSpace.RGB, icc=bytes(imagecodecs.cms_profile("adobergb"))),
    "CMYK": held(cut(4, "u1", 8), space=ColourSpace.CMYK),
}


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_comes_back(kind: str, *, ht: bool, tmp_path: Path) -> None:
    picture = KINDS[kind]
    path = written(picture, tmp_path, ht=ht)
    with ziggurat.open(path.as_posix()) as image:
        info = image.info
        assert np.array_equal(image.read(), picture.pixels)
    assert (info.bit_depth, info.kind, info.alpha, info.icc) == (
        picture.bit_depth,
        picture.kind,
        picture.alpha,
        picture.icc,
    )
    if picture.colour_space is not ColourSpace.UNKNOWN:
        assert info.colour_space == picture.colour_space
    brand = "jph" if ht else "jpx" if kind == "CMYK" else "jp2"
    details = info.details["jpeg2000"]
    assert isinstance(details, dict | type(info.details))
    assert details["brand"].strip() == brand
    assert details["notes"] == []
    if brand == "jp2":
        assert valid(path)


def test_blocks_and_resolution_travel_with_the_pixels(tmp_path: Path) -> None:
    metadata = Metadata(exif=build_exif({271: "Maker"}), xmp=XMP, iptc=IPTC)
    picture = held(cut(3, "u1", 8), resolution=Resolution(300 / 0.0254, 600 / 0.0254), metadata=metadata)
    path = written(picture, tmp_path)
    assert valid(path)
    with ziggurat.open(path.as_posix()) as image:
        assert image.info.metadata == metadata
        assert image.info.resolution is not None
        assert (image.info.resolution.y, image.info.resolution.x) == pytest.approx((300 / 0.0254, 600 / 0.0254), 1e-12)


def test_a_profile_with_tables_makes_a_jpx_file(tmp_path: Path) -> None:
    """JP2 holds curves and matrices alone (ISO/IEC 15444-1 I.5.3.3)."""
    icc = bytearray(imagecodecs.cms_profile("adobergb"))
    at = icc.index(b"rXYZ", 128)
    icc[at : at + 4] = b"A2B0"
    path = written(held(cut(3, "u1", 8), space=ColourSpace.RGB, icc=bytes(icc)), tmp_path)
    assert path.read_bytes()[20:24] == b"jpx "
    with ziggurat.open(path.as_posix()) as image:
        assert image.info.icc == bytes(icc)


# -- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ht", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_psnr_that_is_asked_for_is_about_reached(dtype: str, *, ht: bool, tmp_path: Path) -> None:
    pixels = photograph()[:300, :400].copy() if dtype == "u1" else photograph()[:300, :400, :1] * np.uint16(257)
    path = written(held(pixels), tmp_path, Jp2Options(psnr=40), ht=ht)
    assert 38.5 < decibels(pixels, decoded(path)) < 42
    assert broken(path, "cloud") == set()


def test_a_ratio_is_one_of_uncompressed_bytes(tmp_path: Path) -> None:
    path = written(held(photograph()), tmp_path, Jp2Options(rate=20))
    assert photograph().nbytes / path.stat().st_size == pytest.approx(20, rel=0.03)


def test_a_higher_quality_is_nearer_and_larger(tmp_path: Path) -> None:
    found = []
    for quality in (30, 92):
        folder = tmp_path / str(quality)
        folder.mkdir()
        path = written(held(photograph()), folder, Jp2Options(quality=quality))
        found.append((decibels(photograph(), decoded(path)), path.stat().st_size))
    assert found[0][0] == pytest.approx(30, abs=1.5)
    assert found[1][0] == pytest.approx(42.4, abs=1.5)
    assert found[0][1] < found[1][1]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"profile": "louvre"}, "choose one of cloud, bodleian, ndnp, kb-dk"),
        ({"rate": 8, "psnr": 40}, "contradict"),
        ({"rate": 1}, "compression ratio"),
        ({"rate": math.nan}, "compression ratio"),
        ({"psnr": 0}, "above 0"),
        ({"psnr": math.inf}, "up to 100"),
        ({"quality": 101}, "between 1 and 100"),
        ({"profile": "kb-dk", "rate": 8}, "is lossless"),
        ({"profile": "ndnp", "psnr": 40}, "compresses by at least 8"),
        ({"profile": "ndnp", "rate": 4}, "compresses by at least 8"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Jp2Options(**options)


@pytest.mark.parametrize("options", [Jp2Options("bodleian"), Jp2Options(rate=8)])
def test_htj2k_has_no_layers_to_cut(options: Jp2Options) -> None:
    with pytest.raises(UsageError, match="--to jp2"):
        Htj2kWriter(options)


@pytest.mark.parametrize(
    ("picture", "options", "error", "says"),
    [
        (held(cut(3, "f4", 8)), Jp2Options(), UnsupportedFeature, "not float32; choose ptiff"),
        (held(cut(1, "i4", 8)), Jp2Options(), UnsupportedFeature, "not int32; choose ptiff"),
        (held(cut(3, "u1", 8), space=ColourSpace.LAB), Jp2Options(), UnsupportedFeature, "no colour space CIELab"),
        (held(cut(3, "u1", 8)), Jp2Options("ndnp"), UnsupportedFeature, "one of 8-bit grey"),
        (held(cut(3, "u1", 8)), Jp2Options(psnr=70), UnsupportedFeature, "8 bits reach 48 dB"),
        (
            held(np.broadcast_to(np.uint8(0), (1 << 20, 1 << 17, 1))),
            Jp2Options("bodleian"),
            TooManyPixels,
            "are 524288 tiles of 512",
        ),
    ],
)
def test_pictures_that_do_not_fit_are_refused_before_anything_is_written(
    picture: Held, options: Jp2Options, error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        Jp2Writer(options).write(picture, tmp_path / "out.jp2", memory=MEMORY)
    assert list(tmp_path.iterdir()) == []


def test_without_a_shared_library_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(openjpeg.ENVIRONMENT, "libnone.so")
    with pytest.raises(DependencyError, match="libnone"):
        Jp2Writer().write(held(cut(1, "u1", 8)), tmp_path / "a.jp2", memory=MEMORY)
    assert list(tmp_path.iterdir()) == []
    Htj2kWriter().write(held(cut(1, "u1", 8)), tmp_path / "a.jph", memory=MEMORY)


def test_encoders_say_what_they_do_not_take() -> None:
    coding = openjpeg_encode.Coding(levels=40, tile=1024)
    with pytest.raises(UnsupportedFeature, match="OpenJPEG failed at setting up"):
        openjpeg_encode.encode(np.zeros((10, 2000, 1), np.uint8), coding, depth=8)
    coding = openjph.Coding(depth=8, levels=5, tile=1024, step=None, component_transform=False)
    with pytest.raises(UnsupportedFeature, match="OpenJPH does not encode"):
        openjph.encode(np.zeros((100, 100, 1), np.complex64), coding)


# -- the checker ------------------------------------------------------------------------------------------------------


def test_a_file_of_another_profile_is_told_rule_by_rule(tmp_path: Path) -> None:
    path = written(held(large(1031, 515)), tmp_path, Jp2Options("kb-dk"))
    assert broken(path, "cloud") == {
        "layers",
        "code-block style",
        "SOP",
        "EPH",
        "PLT",
        "tile-parts of a tile",
    }
    assert {"tile", "precincts", "layers", "code-block style", "PLT"} <= broken(path, "bodleian")
    assert {"progression", "transform", "layers", "compression ratio"} <= broken(path, "ndnp")


def test_info_says_whether_files_conform(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    ours = written(held(cut(3, "u1", 8)), tmp_path / "ours")
    png = jobs.write_image(tmp_path / "a.png")
    result = jobs.ziggurat("info", ours, "--profile", "cloud")
    assert (result.code, result.out.splitlines()[0]) == (0, f"{ours}: conforms to cloud")
    result = jobs.ziggurat("info", ours, png, "--profile", "bodleian", "--json")
    first, second = map(json.loads, result.out.splitlines())
    assert result.code == 3
    assert (first["profile"], first["conforms"], second["conforms"]) == ("bodleian", False, False)
    assert {"name": "layers", "wanted": "6", "found": "1", "kept": False} in first["rules"]
    assert second["rules"] == [{"name": "format", "wanted": "JPEG 2000", "found": "png", "kept": False}]
    result = jobs.ziggurat("info", ours, "--profile", "louvre")
    assert result.code == 2
    assert "choose one of cloud" in result.err


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_writes_equal_files_and_resumes(tmp_path: Path) -> None:
    source, jp2, jph = tmp_path / "in", tmp_path / "jp2", tmp_path / "jph"
    for number in range(3):
        jobs.write_image(source / f"{number}.png", jobs.picture(64 + number, 96, seed=number))
    assert jobs.convert(source, jp2, to="jp2").code == 0
    jobs.write_image(source / "3.tif", jobs.picture(seed=3))
    again = jobs.convert(source, jp2, to="jp2")
    assert (again.code, "4 done" in again.out) == (0, True)
    assert jobs.convert(jp2, jph, to="htj2k").code == 0
    for folder, suffix in ((jp2, "jp2"), (jph, "jph")):
        ledger = folder.with_name(f"{folder.name}.zgj")
        assert jobs.as_recorded(ledger, folder)
        assert {row["psnr"] for row in jobs.rows(ledger).values()} == {math.inf}
        assert jobs.files(folder) == {f"{number}.{suffix}" for number in range(4)}
    changed = jobs.convert(source, jp2, "--psnr", "40", to="jp2")
    assert (changed.code, "jp2.psnr was null, is 40" in changed.err) == (1, True)


def test_a_lossy_job_records_how_near_it_came(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((PHOTOGRAPHS / "astronaut.png").read_bytes())
    assert jobs.convert(tmp_path / "in", tmp_path / "out", "--rate", "10", to="jp2").code == 0
    (row,) = jobs.rows(tmp_path / "out.zgj").values()
    assert 35 < float(str(row["psnr"])) < 45


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "jpeg", "--rate", "8"], "only --to jp2, htj2k and b2nd know that"),
        (["--to", "jpeg", "--profile", "cloud"], "only --to jp2 and htj2k know that"),
        (["--to", "htj2k", "--profile", "bodleian"], "choose --to jp2"),
        (["--to", "jp2", "--profile", "nobody"], "there is no profile"),
    ],
)
def test_a_job_of_impossible_options_does_not_begin(arguments: list[str], says: str, tmp_path: Path) -> None:
    jobs.write_image(tmp_path / "a.png")
    result = jobs.ziggurat("convert", tmp_path / "a.png", tmp_path / "out", *arguments)
    assert (result.code, says in result.err) == (2, True)
    assert not (tmp_path / "out").exists()


# -- memory -----------------------------------------------------------------------------------------------------------


class Rows:
    """A large picture that lies nowhere: every row is one row moved by its number."""

    size = Size(4500, 8000)
    bands = 1
    dtype = np.dtype(np.uint8)
    bit_depth = 8
    kind = "unsigned"
    colour_space = ColourSpace.GREY
    alpha = icc = resolution = None
    metadata = Metadata()
    grain = Size(64, 64)

    def read(self, window: Window) -> Pixels:
        y, x = np.arange(window.y0, window.y1), np.arange(window.x0, window.x1)
        return ((y[:, None] // 3 + x[None, :]) % 251).astype(np.uint8)[:, :, np.newaxis]

    def read_cost(self, window: Window) -> int:
        # Eight bytes for a pixel are the sums' 64-bit numbers.
        return window.size.pixels * 17


def use_much_memory(path: str) -> None:
    """Writes the picture and prints by how much the process has grown, and what was predicted."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    writer, memory = Htj2kWriter(), 64 << 20
    predicted = writer.write_cost(Rows(), memory=memory)  # type: ignore[arg-type]  # a picture
    writer.write(Rows(), Path(path), memory=memory)  # type: ignore[arg-type]  # a picture
    sys.stdout.write(f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10} {predicted}")


def test_a_large_picture_is_written_within_the_stated_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.jph"
    code = "import sys, test_jp2; test_jp2.use_much_memory(sys.argv[1])"
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {folders!r}; {code}", path],
        check=True,
        capture_output=True,
        text=True,
    )
    taken, predicted = map(int, run.stdout.split())
    assert taken <= predicted <= 64 << 20 < Rows.size.pixels * 2
    window = Window(4000, 7500, 4500, 8000)
    with ziggurat.open(path.as_posix()) as image:
        assert np.array_equal(image.read(0, window), Rows().read(window))
