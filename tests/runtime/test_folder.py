"""The bundles' folder as others fill it: whatever lies there, the loader lives and says why."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.runtime.folder import POINTER
from tests.runtime.test_reload import Bay
from tests.support import until


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    bay = Bay(tmp_path)
    yield bay
    bay.close()
    subprocess.run(["rm", "-rf", str(bay.bundles)], check=True)  # Python's own is at a loss with it


def test_a_folder_nested_deeper_than_can_be_looked_into_is_refused(bay: Bay) -> None:
    reloader = bay.start()
    subprocess.run(["mkdir", "-p", str(bay.bundles / "deep" / "/".join("d" * 1_500))], check=True)
    (bay.bundles / POINTER).write_text("deep\n", encoding="utf-8")
    assert until(lambda: "deep" in (bay.exchange.status.refused or ""))
    assert reloader.alive()
    assert bay.serves(bay.first)
