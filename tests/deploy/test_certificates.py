"""The test authority beside mosquitto's configuration, where it was interrupted or misnamed."""

import subprocess
from pathlib import Path

import pytest

from tests.certificates import SCRIPT, require_openssl


def make(folder: Path, *names: str) -> "subprocess.CompletedProcess[str]":
    require_openssl()
    command = [str(SCRIPT), str(folder), "localhost", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_certificate_that_was_not_made_whole_is_made_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "certs of line 3"
    assert make(folder, "cell-01").returncode == 0
    key = (folder / "ca.key").rename(tmp_path / "ca.key")
    done = make(folder, "cell-01", "mes")
    assert done.returncode == 1
    assert "ca.key" in done.stderr, "it says why"
    key.rename(folder / "ca.key")
    assert make(folder, "cell-01", "mes").returncode == 0
    for name in ("cell-01", "mes", "broker"):
        files = [str(folder / "ca.pem"), str(folder / f"{name}.pem")]
        verify = ["openssl", "verify", "-CAfile", *files]
        subprocess.run(verify, check=True, capture_output=True)


@pytest.mark.parametrize("name", ["broker", "ca", "line/cell"])
def test_no_client_gets_the_files_of_another(tmp_path: Path, name: str) -> None:
    done = make(tmp_path / "certs", "cell-01", name)
    assert done.returncode == 2
    assert done.stderr == f"{name}: is no name for a client: its files are others'\n"
