import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ziggurat.errors import UsageError
from ziggurat.format.exif import build_exif, orientation, read_exif, resolution, with_orientation
from ziggurat.model import Resolution

MAKE, ORIENTATION, X, Y, UNIT, ORIGINAL = 271, 274, 282, 283, 296, 36867


def test_another_reader_understands_what_is_built() -> None:
    blob = build_exif(
        {ORIENTATION: 6, MAKE: "Phase One", X: (300, 1), Y: (600, 2), UNIT: 2, 40092: b"\1\2\3\4\5", 256: 70_000},
        {ORIGINAL: "2020:01:02 03:04:05", 33434: (1, 60)},
    )
    tags = Image.Exif()
    tags.load(blob)
    assert tags[MAKE] == "Phase One"
    assert tags[ORIENTATION] == 6
    assert tags[256] == 70_000
    assert float(tags[Y]) == 300
    assert tags[40092] == b"\1\2\3\4\5"
    assert tags.get_ifd(34665)[ORIGINAL] == "2020:01:02 03:04:05"


def test_what_another_writer_makes_is_read() -> None:
    tags = Image.Exif()
    tags[MAKE], tags[ORIENTATION], tags[X], tags[Y] = "Canon", 8, 72.0, 72.0
    read = read_exif(tags.tobytes()[6:])
    assert read[MAKE] == "Canon"
    assert read[ORIENTATION] == 8
    assert read[X] == (72, 1)


@given(
    st.dictionaries(
        st.integers(300, 30_000),
        st.one_of(
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
            st.integers(0, 2**32 - 1),
            st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
            st.binary(max_size=40),
        ),
        max_size=12,
    )
)
def test_built_tags_are_read_back(tags: dict[int, str | int | tuple[int, int] | bytes]) -> None:
    read = read_exif(build_exif(tags, {ORIGINAL: "x"}))
    assert {tag: read[tag] for tag in tags} == tags


@given(st.binary(max_size=300), st.binary(max_size=200))
def test_garbage_has_no_tags_and_raises_nothing(tail: bytes, other: bytes) -> None:
    for blob in (other, b"II*\0" + tail, b"MM\0*\0\0\0\x08" + tail):
        read_exif(blob)
        assert orientation(blob) in range(1, 9)
        assert len(with_orientation(blob, 1)) == len(blob)
        resolution(blob)


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_illegal_orientation_counts_as_upright(value: int) -> None:
    assert orientation(build_exif({ORIENTATION: value})) == 1


def test_absent_block_is_upright() -> None:
    assert orientation(None) == orientation(b"") == orientation(b"Exif") == 1


@pytest.mark.parametrize("endian", [">", "<"])
def test_orientation_is_patched_in_place(endian: str) -> None:
    tags = Image.Exif()
    tags.endian = endian
    tags[ORIENTATION], tags[MAKE] = 6, "Nikon"
    blob = tags.tobytes()[6:]
    patched = with_orientation(blob, 1)
    assert orientation(blob) == 6
    assert orientation(patched) == 1
    assert read_exif(patched)[MAKE] == "Nikon"
    assert sum(a != b for a, b in zip(blob, patched, strict=True)) == 1


def test_block_without_orientation_stays_as_it_is() -> None:
    blob = build_exif({MAKE: "x"})
    assert with_orientation(blob, 1) == blob


@pytest.mark.parametrize(("unit", "expected"), [({}, 300 / 0.0254), ({UNIT: 2}, 300 / 0.0254), ({UNIT: 3}, 30_000)])
def test_resolution_is_in_pixels_per_metre(unit: dict[int, int], expected: float) -> None:
    found = resolution(build_exif({X: (300, 1), Y: (150, 1), **unit}))
    assert found == Resolution(pytest.approx(expected / 2), pytest.approx(expected))


@pytest.mark.parametrize("tags", [{X: (300, 1)}, {X: (300, 0), Y: (300, 1)}, {X: (3, 1), Y: (3, 1), UNIT: 1}])
def test_resolution_without_unit_or_with_a_gap_is_none(tags: dict[int, int | tuple[int, int]]) -> None:
    assert resolution(build_exif(tags)) is None


@pytest.mark.parametrize("value", [-1, 2**32, "schön", (1, -1)])
def test_value_without_field_type_is_refused(value: int | str | tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="33432"):
        build_exif({33432: value})


def test_block_is_accepted_inside_a_jpeg() -> None:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", exif=b"Exif\0\0" + build_exif({ORIENTATION: 3}))
    with Image.open(file) as image:
        assert image.getexif()[ORIENTATION] == 3
