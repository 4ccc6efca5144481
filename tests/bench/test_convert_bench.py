"""The parts of the bench that decide nothing by measuring: commands, tables, sections."""

import shlex
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def here(bench: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every program is installed."""
    monkeypatch.setattr(bench["pipelines"].shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(bench["pipelines"], "first_line", lambda _command: "Version: ImageMagick 6.9.11-60")


def test_table_aligns_figures_to_the_right(bench: dict[str, ModuleType]) -> None:
    text = bench["tables"].table(("", "images/s"), [["ours", "12.5"], ["parallel + vips", "9.1"]])
    assert text.splitlines() == [
        "|                 | images/s |",
        "| --------------- | -------: |",
        "| ours            |     12.5 |",
        "| parallel + vips |      9.1 |",
    ]


def test_section_is_replaced_and_all_else_stays(bench: dict[str, ModuleType]) -> None:
    before = "# Title\n\n<!-- a:begin -->\nold\n<!-- a:end -->\n\nbetween\n\n<!-- b:begin -->\nkept\n<!-- b:end -->\n"
    after = bench["tables"].with_section(before, "a", "new\n")
    assert after == before.replace("old", "new")


def test_section_that_is_not_there_is_put_at_the_end(bench: dict[str, ModuleType]) -> None:
    with_section = bench["tables"].with_section
    first = with_section("", "a", "one")
    assert first.startswith("# Benchmarks\n")
    both = with_section(first, "b", "two")
    assert both == first.rstrip() + "\n\n<!-- b:begin -->\ntwo\n<!-- b:end -->\n"
    assert with_section(with_section(both, "a", "three"), "a", "one") == both


@pytest.mark.parametrize("document", ["<!-- a:begin -->\n", "<!-- a:end -->\n<!-- a:begin -->\n", "<!-- a:end -->"])
def test_document_with_half_a_section_is_refused(bench: dict[str, ModuleType], document: str) -> None:
    with pytest.raises(ValueError, match="must both be there"):
        bench["tables"].with_section(document, "a", "text")


@pytest.mark.usefixtures("here")
def test_all_pipelines_are_asked_for_the_same(bench: dict[str, ModuleType]) -> None:
    command = bench["pipelines"].command
    source, target = Path("/in put"), Path("/out put")
    ours = command("ziggurat", source, target, 2)
    assert ours[1:4] == ["convert", "/in put", "/out put"]
    assert shlex.join(ours[4:]) == "--to jpeg --quality 92 --subsampling 444 --workers 2 --decode full"
    assert command("fast", source, target, 2, "420")[-6:] == shlex.split("--subsampling 420 --workers 2 --decode fast")
    vips = command("vips", source, target, 2)
    assert "-j 2 " in vips[2]
    assert "[Q=92,subsample_mode=off]" in vips[2]
    magick = command("ImageMagick", source, target, 2)
    assert "-j 2 " in magick[2]
    assert "-quality 92 -sampling-factor 4:4:4" in magick[2]
    assert "subsample_mode=on" in command("vips", source, target, 2, "420")[2]
    assert "4:2:0" in command("ImageMagick", source, target, 2, "420")[2]
    for peer in (vips, magick):
        assert peer[:2] == ["sh", "-c"]
        assert "--will-cite" in peer[2]
        assert shlex.split(peer[2])[:2] == ["find", "/in put"]


def test_another_program_called_convert_is_not_imagemagick(
    bench: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = bench["pipelines"]
    monkeypatch.setattr(pipelines.shutil, "which", lambda name: "/bin/convert" if name == "convert" else None)
    monkeypatch.setattr(pipelines, "first_line", lambda _command: "convert 1.0, converts units")
    with pytest.raises(pipelines.MissingToolError, match="apt install"):
        pipelines.imagemagick()


def test_processor_time_of_grandchildren_counts(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    burn = f"{shlex.quote(sys.executable)} -c 'sum(range(6_000_000))'"
    run = bench["pipelines"].measured(["sh", "-c", f'sh -c "{burn}; true"; true'], tmp_path / "log")
    assert run.cpu > 0.05
    assert run.wall > 0


def test_ratios_above_one_mean_that_ziggurat_is_faster(bench: dict[str, ModuleType]) -> None:
    run, convert = bench["pipelines"].Run, bench["convert"]
    runs = {"ziggurat": [run(2.0, 3.0, 1)] * 3, "vips": [run(4.0, 6.0, 1)], "ImageMagick": [run(1.0, 2.0, 1)]}
    runs["fast"] = [run(1.0, 1.5, 1)]
    result = convert.Result("scans", 4, 20.0, 100, runs, {})
    full, fast = (
        [cell.strip() for cell in line.split("|")[2:-1]] for line in convert.ratios([result]).splitlines()[-2:]
    )
    assert full == ["full", "2.00", "0.50", "0.50", "1.50"]
    assert fast == ["fast", "4.00", "1.00", "0.25", "0.75"]


def test_lost_output_counts_as_failed_and_grey_is_compared_with_colour(
    bench: dict[str, ModuleType], tmp_path: Path
) -> None:
    from ziggurat.codec.jpeg import encode  # noqa: PLC0415 - beside what it makes

    corpora, fidelity = bench["corpora"], bench["fidelity"]
    folder, truth, outputs = (tmp_path / name for name in ("in", "truth", "out"))
    for made in (folder, truth, outputs):
        made.mkdir()
    grey = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)[..., None]
    for name in ("a", "b", "c"):
        (folder / f"{name}.jp2").touch()
        np.save(truth / f"{name}.npy", grey)
    (outputs / "a.jpg").write_bytes(encode(np.repeat(grey, 3, axis=2), quality=95))
    (outputs / "b.jpg").write_bytes(b"not a picture")
    outcome = fidelity.outcomes(corpora.Group("g", "g", folder, truth), {"x": outputs})["x"]
    assert outcome.failed == ("b.jp2", "c.jp2")
    assert outcome.psnr > 40
    assert outcome.ssimulacra2 > 80


def test_crops_are_the_same_every_time_and_noisy(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    from ziggurat.codec.jpeg import encode  # noqa: PLC0415 - beside what it makes

    picture = tmp_path / "picture.jpg"
    picture.write_bytes(encode(np.full((64, 96, 3), 100, np.uint8), quality=92))
    made, again = (list(bench["corpora"].crops([picture], ((32, 48), (16, 24)), 3)) for _ in range(2))
    assert [crop.shape for crop in made] == [(32, 48, 3), (16, 24, 3), (32, 48, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
    assert 1.0 < made[0].std() < 2.0


def test_manifest_has_distinct_targets(bench: dict[str, ModuleType], tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    bench["scale"].manifest(path, Path("/x.jp2"), 45)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,item,name,group"
    assert len(set(lines[1:])) == 45
    assert len({line.split(",")[1] for line in lines[1:]}) == 3
