"""What the parameters of IIIF requests mean, for any image and any parameters."""

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.errors import UnsupportedFeature, UsageError
from ziggurat.geometry import Size, Window
from ziggurat.serve.iiif.syntax import Bounds, Request, Resolved, Version, parse_region, parse_size, resolve

BOUNDS = Bounds(pixels=1_000_000, side=3000)
IMAGE = Size(600, 900)

sides = st.integers(1, 200_000)
numbers = st.one_of(st.integers(0, 250_000).map(str), st.decimals(0, 150, places=3).map(str))
regions = st.one_of(
    st.sampled_from(["full", "square"]),
    st.tuples(*[st.integers(0, 210_000).map(str)] * 4).map(",".join),
    st.tuples(*[numbers] * 4).map(lambda parts: "pct:" + ",".join(parts)),
)
sizes = st.tuples(
    st.sampled_from(["", "^"]),
    st.one_of(
        st.sampled_from(["max", "full"]),
        numbers.map(lambda number: f"pct:{number}"),
        st.tuples(st.sampled_from(["", "!"]), numbers, numbers).map(lambda parts: f"{parts[0]}{parts[1]},{parts[2]}"),
        numbers.map(lambda number: f"{number},"),
        numbers.map(lambda number: f",{number}"),
    ),
).map("".join)
rotations = st.tuples(st.sampled_from(["", "!"]), numbers).map("".join)
versions = st.sampled_from(["2", "3"])
rubbish = st.text(string.ascii_letters + string.digits + "!^,.:-+ \0é٣", max_size=12)


def resolved(parts: tuple[str, ...], image: Size, version: Version) -> Resolved | None:
    with contextlib.suppress(UsageError, UnsupportedFeature):
        return resolve(Request(*parts), image, BOUNDS, version)
    return None


@given(
    st.tuples(st.one_of(regions, rubbish), st.one_of(sizes, rubbish), st.one_of(rotations, rubbish)),
    sides, sides, versions,
)  # fmt: skip
def test_what_is_not_refused_lies_inside_the_image_and_the_limits(
    parts: tuple[str, str, str], height: int, width: int, version: Version
) -> None:
    image = Size(height, width)
    found = resolved((*parts, "default", "jpg"), image, version)
    if found is None:
        return
    plan = found.plan
    assert plan.region.within(image)
    assert BOUNDS.hold(plan.size)
    assert min(plan.size) >= 1
    assert 0 <= plan.angle < 360
    if version == "3" and not parts[1].startswith("^"):
        assert plan.size.height <= plan.region.height
        assert plan.size.width <= plan.region.width


@given(st.tuples(regions, sizes, rotations), st.integers(1, 3000), st.integers(1, 3000), versions)
def test_the_canonical_form_means_the_same_and_is_its_own(
    parts: tuple[str, str, str], height: int, width: int, version: Version
) -> None:
    image = Size(height, width)
    found = resolved((*parts, "gray", "png"), image, version)
    if found is None:
        return
    *canonical, last = found.canonical.split("/")
    again = resolved((*canonical, *last.split(".")), image, version)
    assert again == found


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("full", (0, 0, 600, 900)), ("square", (0, 150, 600, 750)), ("10,20,30,40", (20, 10, 60, 40)),
        ("890,590,100,100", (590, 890, 600, 900)), ("pct:10,10,80,50", (60, 90, 360, 810)),
        ("pct:99.99,99.99,0.001,0.001", (599, 899, 600, 900)),
    ],
)  # fmt: skip
def test_regions(text: str, window: tuple[int, int, int, int]) -> None:
    try:
        found = parse_region(text, IMAGE)
    except UsageError:
        found = None
    assert found == (None if "99.99" in text else Window(*window))


@pytest.mark.parametrize(
    ("text", "version", "size"),
    [
        ("max", "3", (600, 900)), ("full", "2", (600, 900)), ("max", "2", (600, 900)), ("^max", "3", (816, 1224)),
        ("1200,", "2", (800, 1200)), ("pct:200", "2", None), ("!2000,2000", "3", (600, 900)),
        ("!2000,2000", "2", (600, 900)),
        ("^!1000,1000", "3", (667, 1000)), ("^1000,100", "3", (100, 1000)), ("300,300", "2", (300, 300)),
        ("^1000,", "2", None), ("full", "3", None), ("1200,", "3", None), ("^3001,1", "3", None),
    ],
)  # fmt: skip
def test_sizes(text: str, version: Version, size: tuple[int, int] | None) -> None:
    found: Size | None = None
    with contextlib.suppress(UsageError, UnsupportedFeature):
        found, _ = parse_size(text, IMAGE, BOUNDS, version)
    assert found == size
