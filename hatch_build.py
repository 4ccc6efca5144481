"""Compiles the hot loops when the package is built; without Cython or a compiler they stay interpreted."""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = tuple(f"src/ziggurat/codestream/packet_{name}.py" for name in ("parser", "picker", "writer"))
"""Modules that a .pxd beside them gives types."""


class CompileHotLoops(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel or an editable installation is made. ZIGGURAT_INTERPRETED=1 leaves the compiling out."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles every module beside its source, and puts the result into the wheel."""
        if self.target_name != "wheel" or os.environ.get("ZIGGURAT_INTERPRETED") == "1":
            return
        try:
            made = [compile_module(Path(self.root), Path(self.root, module)) for module in MODULES]
        except Exception as error:  # noqa: BLE001 - whatever a compiler does, the package works without it
            self.app.display_warning(f"hot loops stay interpreted: {error}")
            return
        if version != "editable":
            build_data["infer_tag"] = True
            build_data["pure_python"] = False
            build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in made]


def compile_module(root: Path, source: Path) -> Path:
    """Compiles one module; returns the shared library beside it."""
    # Imported here: whoever has no Cython can still install the package.
    from Cython.Build import cythonize  # noqa: PLC0415
    from setuptools import Distribution, Extension  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    name = ".".join(source.relative_to(root / "src").with_suffix("").parts)
    flags = [] if sys.platform == "win32" else ["-O3"]
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
