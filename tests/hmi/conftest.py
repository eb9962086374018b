"""One plant and one browser for a module of tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.brokers import Mosquitto
from tests.hmi.plant import Plant, chromium, make_plant


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("plant")
    with Mosquitto(folder, quiet=True) as broker:
        broker.start()
        made = make_plant(folder, broker)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright, found = chromium()
    try:
        yield found
    finally:
        found.close()
        playwright.stop()
