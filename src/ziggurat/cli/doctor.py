"""``ziggurat doctor``: which libraries are here, in which versions, and what is missing."""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import apsw
import imagecodecs

from ziggurat import __version__
from ziggurat.cli import EXIT_ERROR, EXIT_OK
from ziggurat.codec import openjpeg
from ziggurat.convert import process
from ziggurat.convert.ledger.connection import check_sqlite
from ziggurat.errors import DependencyError, UsageError
from ziggurat.storage.file_cache import default_cache

CODECS = {
    "JPEG": "JPEG8", "JPEG 2000": "JPEG2K", "HTJ2K": "HTJ2K", "PNG": "PNG", "WebP": "WEBP", "AVIF": "AVIF",
    "JPEG XL": "JPEGXL", "deflate": "ZLIB", "zstd": "ZSTD", "LZW": "LZW", "colour management": "CMS",
}  # fmt: skip
"""What is needed, and imagecodecs' name for it."""

LIBRARIES = (
    "numpy",
    "imagecodecs",
    "tifffile",
    "obstore",
    "apsw",
    "astropy",
    "reproject",
    "cyclopts",
    "rich",
    "pillow",
)

PLUGINS = ("blosc2", "blosc2-grok", "blosc2-j2k", "blosc2-htj2k")
"""What other programs need for .b2nd files of JPEG 2000; Ziggurat reads and writes them without, and loads none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    name: str
    value: str
    problem: str | None = None


def doctor() -> int:
    """Check the libraries that Ziggurat stands on; exit code 1 if something is missing or too old."""
    findings = examine()
    for finding in findings:
        mark = "ok     " if finding.problem is None else "PROBLEM"
        print(f"{mark} {finding.name}: {finding.value}")
        if finding.problem is not None:
            print(f"        {finding.problem}")
    problems = sum(finding.problem is not None for finding in findings)
    print("Everything needed is here." if not problems else f"{problems} problems, see above.")
    return EXIT_ERROR if problems else EXIT_OK


def examine() -> list[Finding]:
    """Looks at everything, whatever it finds."""
    found = [
        Finding("ziggurat", __version__),
        Finding("Python", f"{platform.python_version()} at {sys.executable}"),
        *(_library(name) for name in LIBRARIES),
        _checked("OpenJPEG", lambda: f"{'.'.join(map(str, openjpeg.version()))} at {openjpeg.library_path()}"),
        _checked("SQLite", _sqlite),
    ]
    for name, codec in CODECS.items():
        present = bool(getattr(getattr(imagecodecs, codec, None), "available", False))
        problem = None if present else "install the imagecodecs wheel from PyPI: pip install -U imagecodecs"
        found.append(Finding(f"codec {name}", "available" if present else "missing", problem))
    found += [_plugin(name) for name in PLUGINS]
    memory, disk = process.available_memory(), shutil.disk_usage(".")
    found.append(Finding("memory", f"{memory / 2**30:.1f} GiB for this process"))
    found.append(_checked("cache", _cache))
    found.append(Finding("disk", f"{disk.free / 2**30:.1f} GiB free here"))
    return found


def _library(name: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", f"pip install {name}")


def _plugin(name: str) -> Finding:
    """Whether a package is here that is never needed, and the licence by which whoever loads it is bound."""
    try:
        described = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed; Ziggurat does not need it")
    licence = described.get("License-Expression") or described.get("License") or "licence not stated"
    return Finding(name, f"{described['Version']}, {licence.splitlines()[0]}; Ziggurat does not load it")


def _sqlite() -> str:
    check_sqlite()
    return f"{apsw.sqlite_lib_version()} in apsw {apsw.apsw_version()}"


def _cache() -> str:
    cache = default_cache()
    return "none" if cache is None else f"at most {cache.limit / 2**30:.1f} GiB in {cache.folder}"


def _checked(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, look())
    except (DependencyError, UsageError) as error:
        return Finding(name, "refused", str(error))
