"""The plates of plates.py, for tests that ask for them by name."""

from pathlib import Path

import pytest

from tests.training.plates import write_class_folders
from tests.training.releases import Released


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """A folder per class: 12 good, 12 scratch, 12 spot."""
    return write_class_folders(tmp_path / "data")


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    return Released(tmp_path_factory.mktemp("release"))
