"""The modules of the bench, which is no package."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"


class _Modules(dict[str, ModuleType]):
    """Modules by name, imported once they are asked for."""

    def __missing__(self, name: str) -> ModuleType:
        self[name] = import_module(name)
        return self[name]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The modules of the bench, new for each test: nothing that one sets stays for the next."""
    names = [path.stem for path in BENCH.glob("*.py")]
    monkeypatch.syspath_prepend(BENCH)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield _Modules()
    for name in names:
        sys.modules.pop(name, None)
