"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from s3_server import pytest_xdist_make_scheduler, s3
from ziggurat.storage.network import configure, configured

__all__ = ["pytest_xdist_make_scheduler", "s3"]

# How long an example takes says more of the machine than of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test touches the cache of whoever runs the tests."""
    os.environ["ZIGGURAT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _network_of_the_process() -> Iterator[None]:
    """Commands that are called in this process set how stores are reached; the next test finds what was before."""
    before = configured()
    yield
    configure(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images outside the repository, by ZIGGURAT_TEST_DATA or beside the checkout."""
    places = [os.environ.get("ZIGGURAT_TEST_DATA"), REPOSITORY.parent / "shared" / "data"]
    for place in places:
        if place and Path(place).is_dir():
            return Path(place)
    pytest.skip("the shared real images are not here; set ZIGGURAT_TEST_DATA to their folder")
