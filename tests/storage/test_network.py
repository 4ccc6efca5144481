import pickle

import pytest

from ziggurat.errors import UsageError
from ziggurat.storage.network import DEFAULT, NetworkOptions, configure, configured


def test_what_is_configured_holds_for_the_process() -> None:
    assert configured() == DEFAULT
    options = NetworkOptions(endpoint="https://host", timeout=1)
    configure(options)
    try:
        assert configured() is options
    finally:
        configure(DEFAULT)


def test_it_reaches_another_process_unchanged() -> None:
    options = NetworkOptions(endpoint="https://host", retries=0)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own bytes


@pytest.mark.parametrize("name", ["timeout", "stall_timeout", "connect_timeout", "retry_timeout", "connections"])
@pytest.mark.parametrize("figure", [0, -1, float("nan")])
def test_a_figure_that_makes_no_sense_is_refused(name: str, figure: float) -> None:
    with pytest.raises(UsageError, match=name):
        NetworkOptions(**{name: figure})  # type: ignore[arg-type]  # connections is no float


def test_other_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="retries"):
        NetworkOptions(retries=-1)
    with pytest.raises(UsageError, match="http"):
        NetworkOptions(endpoint="localhost:9000")
