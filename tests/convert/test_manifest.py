from pathlib import Path

import pytest

from ziggurat.convert.manifest import manifest_rows, open_manifest, parse_columns, path_fields
from ziggurat.errors import UsageError


def rows(path: Path, columns: str = ""):  # noqa: ANN201
    return list(manifest_rows(open_manifest(path, parse_columns(columns))))


def test_columns_are_chosen_by_role_and_unknown_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("path,uuid,note\r\na/b.jp2,42,hello\r\n", encoding="utf-8")
    (row,) = rows(path, "source=path,item=uuid")
    assert row.source == str(tmp_path / "a/b.jp2")
    assert row.item == "42"
    assert row.columns == ("a/b.jp2", "42", "hello")
    assert row.fields["note"] == "hello"
    assert row.fields["stem"] == "b"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"\xef\xbb\xbfsource\nx.tif\n")
    assert [row.source for row in rows(path)] == [str(tmp_path / "x.tif")]


def test_urls_and_absolute_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("source\n/a/b.tif\ns3://bucket/key.jp2\nfile:///c%20d.png\n")
    assert [row.source for row in rows(path)] == ["/a/b.tif", "s3://bucket/key.jp2", "file:///c%20d.png"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"a,b\n1\n", "1 fields, the header has 2"),
        (b"a,b\n1,2,3\n", "3 fields, the header has 2"),
        (b"a,b\n,2\n", "names no source"),
        (b"a,b\n\xff\xfe.jp2,2\n", "not UTF-8"),
        (b"a,b\nx\0y,2\n", "NUL"),
    ],
)
def test_a_bad_row_is_a_problem_of_that_row_alone(tmp_path: Path, text: bytes, complaint: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(text + b"good.jp2,x\n")
    bad, good = rows(path, "source=a")
    assert bad.problem is not None
    assert complaint in bad.problem
    assert good.problem is None
    assert good.source.endswith("good.jp2")


def test_a_runaway_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('source\n"never closed ' + "x" * (2 << 20) + "\n")
    problems = [row.problem for row in rows(path)]
    assert any(problem is not None and "field larger than" in problem for problem in problems)


@pytest.mark.parametrize("header", ["", "a,a", "a,A", "a,,b", "source,images_id"])
def test_a_header_that_cannot_name_columns_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"{header}\nx\n")
    with pytest.raises(UsageError, match="header"):
        open_manifest(path, {"source": "a"} if header.startswith("a") else {})


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("one,two\nx,y\n")
    with pytest.raises(UsageError, match="no column 'three'; it has one, two"):
        open_manifest(path, {"source": "three"})
    with pytest.raises(UsageError, match="--columns source="):
        open_manifest(path, {})


@pytest.mark.parametrize("text", ["source", "source=", "=path", "colour=red"])
def test_columns_that_are_no_roles_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="ROLE=COLUMN"):
        parse_columns(text)


def test_path_fields_take_a_key_apart() -> None:
    assert path_fields("a/b/c.tar.jp2") == {"path": "a/b/c.tar", "folder": "a/b", "stem": "c.tar", "suffix": "jp2"}
    assert path_fields("c.jp2")["folder"] == ""
