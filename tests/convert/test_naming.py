import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggurat.convert.manifest import Row
from ziggurat.convert.naming import parse_template
from ziggurat.convert.plan import plan_rows
from ziggurat.errors import TargetRefused, UsageError
from ziggurat.storage.names import check_key

FIELDS = ("path", "folder", "stem", "suffix", "item", "name", "group")


def test_a_template_names_by_columns_and_adds_the_suffix_where_there_is_none() -> None:
    fields = {"group": "g", "item": "7", "name": "p1"}
    assert parse_template("{group}/{item}/{name}.jpg", ".jpg", FIELDS).name(fields) == "g/7/p1.jpg"
    assert parse_template("{item}-{name}", ".jpg", FIELDS).name(fields) == "7-p1.jpg"


def test_a_folder_always_ends_as_groups_do() -> None:
    for text in ("{stem}", "{stem}.v2", "{stem}.ome.zarr", "{stem}.zarr"):
        template = parse_template(text, ".ome.zarr", FIELDS)
        assert template.name({"stem": "a"}) == {
            "{stem}": "a.ome.zarr", "{stem}.v2": "a.v2.ome.zarr",
            "{stem}.ome.zarr": "a.ome.zarr", "{stem}.zarr": "a.zarr",
        }[text]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["{nothing}.jpg", "{item", "{item!r}", "{item:>10}", "{item.upper}", "{0}", "{}", "a.jpg"]
)
def test_a_template_that_cannot_work_is_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        parse_template(text, ".jpg", FIELDS)


def test_an_empty_field_refuses_its_row() -> None:
    with pytest.raises(TargetRefused, match=r"\{item\}"):
        parse_template("{item}/{name}", ".jpg", FIELDS).name({"item": "", "name": "x"})


def row(path: str, suffix: str = "jp2", **fields: str) -> Row:
    return Row(source=f"/{path}.{suffix}", fields={"path": path, "suffix": suffix, **fields})


def test_sources_that_differ_by_suffix_alone_keep_it_in_the_default_name() -> None:
    rows = [row("a"), row("a", "tif"), row("b")]
    assert [target for _, target, _, _ in plan_rows(rows, None, ".jpg", FIELDS)] == ["a.jp2.jpg", "a.tif.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "nul\0", "x" * 300, "../..", "a//b"])
def test_a_name_that_leaves_the_destination_refuses_its_row(name: str) -> None:
    ((_, target, kind, message),) = plan_rows([row("p", name=name)], "{name}", ".jpg", FIELDS)
    assert target is None
    assert kind == "TargetRefused"
    assert message


@given(st.text(max_size=80))
def test_whatever_a_manifest_says_the_planned_key_is_safe(name: str) -> None:
    ((_, target, kind, _),) = plan_rows([row("p", name=name)], "x/{name}", ".jpg", FIELDS)
    assert (target is None) == (kind is not None)
    if target is not None:
        check_key(target)
        assert ".." not in target.split("/")


def test_a_checksum_that_is_none_refuses_its_row() -> None:
    bad = Row(source="/a.jp2", fields={"path": "a"}, checksum="abc")
    ((_, _, kind, message),) = plan_rows([bad], None, ".jpg", FIELDS)
    assert kind == "UsageError"
    assert message is not None
    assert "SHA-256" in message
