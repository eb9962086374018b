"""What a person writes about consumers, on either side."""

from pathlib import Path
from typing import Any

import pytest

from inspector.consumer.settings import SqliteSink, read_subscribe_settings
from inspector.contract.errors import ConfigError
from inspector.settings import read_settings
from tests.support import make_bundle, run_inspector, write_station

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


def test_the_example_of_a_consumer_can_be_used_as_it_is() -> None:
    settings = read_subscribe_settings(DEPLOY / "consumer.example.toml")
    assert settings.consumer == "historian"
    assert settings.sink == SqliteSink(kind="sqlite", path=DEPLOY / "results.db")


@pytest.mark.parametrize(
    ("consumers", "words"),
    [
        ([{"name": "mes"}, {"name": "mes"}], "consumers: each name once"),
        ([{"name": "courier"}], "courier is the station's own name for the broker"),
        ([{"name": "a/b"}], "consumers.0.name 'a/b'"),
        ([{"name": "mes", "may_loose": True}], "known keys: may_lose, name, replay_per_s"),
    ],
    ids=["twice", "reserved", "a slash", "misspelt"],
)
def test_faults_in_the_list_of_consumers_are_said_in_words(
    tmp_path: Path, consumers: list[dict[str, Any]], words: str
) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), consumers=consumers)
    with pytest.raises(ConfigError, match=words):
        read_settings(path)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--for", "nan", "'nan': must be seconds, above 0"),
        ("--for", "-1", "'-1': must be seconds, above 0"),
        ("--for", "inf", "'inf': must be seconds, above 0"),
        ("--for", "soon", "'soon': must be seconds, above 0"),
        ("--expect", "0", "'0': must be 1 to 1000000"),
        ("--expect", "all", "'all': must be 1 to 1000000"),
    ],
)
def test_an_end_that_never_comes_or_has_come_is_refused(option: str, value: str, told: str) -> None:
    done = run_inspector("subscribe", DEPLOY / "consumer.example.toml", f"{option}={value}")
    assert done.returncode == 2
    assert f"argument {option}: {told}" in done.stderr
