"""``ziggurat info URL...``: what headers say."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

import ziggurat
from ziggurat.cli import EXIT_ERROR, EXIT_OK, EXIT_SOME_FAILED
from ziggurat.cli.parsing import NO_NETWORK, Network
from ziggurat.codec.icc import profile_name
from ziggurat.convert.text import visible
from ziggurat.errors import ZigguratError
from ziggurat.image import Image
from ziggurat.model import JSON
from ziggurat.write.jp2.check import Rule, check
from ziggurat.write.jp2.profiles import profile as known

JPEG_2000 = frozenset({"jp2", "jph", "j2k"})
"""Formats that profiles are about."""


def info(
    *urls: str,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    profile: str | None = None,
    network: Network = NO_NETWORK,
) -> int:
    """Show what an image's header says.

    Args:
        urls: paths or URLs of images.
        json_: print one JSON object a line instead of text.
        profile: say instead, rule by rule, whether files are laid out as this JPEG 2000 profile prescribes: cloud,
            bodleian, ndnp or kb-dk. The exit code is 3 if one is not.
        network: how stores are reached.
    """
    network.options()
    if profile is not None:
        known(profile)
    code = EXIT_OK
    for url in urls:
        try:
            with ziggurat.open(url) as image:
                facts = describe(image) if profile is None else judged(image, profile)
        except ZigguratError as error:
            code = EXIT_ERROR
            if json_:
                print(json.dumps({"url": url, "error_class": type(error).__name__, "error": str(error)}))
            else:
                print(f"{visible(url)}: {type(error).__name__}: {visible(str(error))}", file=sys.stderr)
            continue
        if facts.get("conforms") is False:
            code = max(code, EXIT_SOME_FAILED)
        text = _text if profile is None else _verdict
        print(json.dumps(facts, default=dict) if json_ else text(facts))
    return code


def judged(image: Image, profile: str) -> dict[str, JSON]:
    """How an image keeps the rules of a JPEG 2000 profile, as plain values."""
    if image.info.format in JPEG_2000:
        rules = check(image.source, profile)
    else:
        rules = [Rule("format", "JPEG 2000", image.info.format, kept=False)]
    return {
        "url": image.url,
        "profile": profile,
        "conforms": all(rule.kept for rule in rules),
        "rules": [asdict(rule) for rule in rules],
    }


def describe(image: Image) -> dict[str, JSON]:
    """Everything that a header says, as plain values. Sizes are [height, width]."""
    header = image.info
    resolution = header.resolution
    return {
        "url": image.url,
        "bytes": image.source.size,
        "format": header.format,
        "height": header.size.height,
        "width": header.size.width,
        "bands": header.bands,
        "dtype": header.dtype,
        "bit_depth": header.bit_depth,
        "kind": header.kind,
        "colour_space": str(header.colour_space),
        "alpha": header.alpha,
        "icc_profile": None if header.icc is None else profile_name(header.icc),
        "icc_bytes": None if header.icc is None else len(header.icc),
        "orientation": header.orientation,
        "resolution": None if resolution is None else {"y": resolution.y, "x": resolution.x, "unit": "px/m"},
        "tile": None if header.levels[0].tile is None else list(header.levels[0].tile),
        "levels": [
            {
                "level": number,
                "shape": list(level.shape),
                "tile": None if level.tile is None else list(level.tile),
                "made": level.made,
            }
            for number, level in enumerate(image.levels)
        ],
        "overview": None if image.overview is None else str(image.overview),
        "metadata": {
            name: len(block)
            for name in ("exif", "xmp", "iptc")
            if (block := getattr(header.metadata, name)) is not None
        },
        **header.details,
    }


def _verdict(facts: Mapping[str, JSON]) -> str:
    rules = facts["rules"]
    assert isinstance(rules, list)  # noqa: S101 - so made
    lines = [
        f"{visible(str(facts['url']))}: {'conforms' if facts['conforms'] else 'does not conform'} to {facts['profile']}"
    ]
    for rule in rules:
        wanted = "" if rule["kept"] else f"; must be {rule['wanted']}"
        lines.append(f"  {'ok' if rule['kept'] else 'NO'}  {rule['name']}: {visible(rule['found'])}{wanted}")
    return "\n".join(lines)


def _text(facts: Mapping[str, JSON]) -> str:
    lines = [visible(str(facts["url"]))]
    for key, value in facts.items():
        if key in {"url", "levels"} or value in (None, {}, [], ()):
            continue
        if isinstance(value, Mapping):
            lines.append(f"  {key}:")
            lines += [f"    {name}: {_plain(part)}" for name, part in value.items() if part not in (None, [], {}, ())]
        else:
            lines.append(f"  {key}: {_plain(value)}")
    levels = facts["levels"]
    if isinstance(levels, list):
        lines.append("  levels:")
        lines += [_level(level) for level in levels if isinstance(level, Mapping)]
    return "\n".join(lines)


def _level(level: Mapping[str, JSON]) -> str:
    tile = "" if level["tile"] is None else f", tile {_plain(level['tile'])}"
    made = ", made" if level["made"] else ""
    return f"    {level['level']}: {_plain(level['shape'])}{tile}{made}"


def _plain(value: JSON) -> str:
    if isinstance(value, list):
        pair = len(value) == 2 and all(isinstance(part, int) for part in value)  # noqa: PLR2004 - height and width
        return f"{value[0]} x {value[1]}" if pair else ", ".join(_plain(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))
