"""Keys and passwords are files that the wrong people have no hand in."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.keyfile import SECRET_BYTES_MAX, read_public, read_secret


def key(folder: Path, mode: int, text: str = "s3cr3t") -> Path:
    path = folder / f"key-{mode:o}"
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_secret_that_others_may_touch_is_refused_without_quoting_it(
    tmp_path: Path, mode: int
) -> None:
    with pytest.raises(ConfigError, match="others may read it") as error:
        read_secret(key(tmp_path, mode))
    assert "s3cr3t" not in str(error.value)


def test_a_secret_of_ones_own_is_read(tmp_path: Path) -> None:
    assert read_secret(key(tmp_path, 0o600)) == b"s3cr3t"
    assert read_secret(key(tmp_path, 0o400)) == b"s3cr3t"


def test_a_public_file_may_be_read_by_all_and_written_by_one(tmp_path: Path) -> None:
    assert read_public(key(tmp_path, 0o644)) == b"s3cr3t"
    for mode in (0o664, 0o646):
        with pytest.raises(ConfigError, match="others may write it"):
            read_public(key(tmp_path, mode))


def test_what_is_longer_than_any_key_is_not_read_in_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is longer than"):
        read_secret(key(tmp_path, 0o600, "x" * (SECRET_BYTES_MAX + 1)))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize(("mode", "says"), [(0o440, ""), (0o444, "others"), (0o460, "others")])
def test_a_credential_of_roots_that_systemd_lends_us_is_read(
    tmp_path: Path, mode: int, says: str
) -> None:
    """LoadCredential= gives root's file an access list, which shows as the group's rights."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    path = key(tmp_path, mode)
    os.chown(path, 0, 65_534)
    code = (
        "import sys; from pathlib import Path; from inspector.contract.keyfile import read_secret;"
        "import os; os.setegid(65534); os.seteuid(65534);"
        "print(read_secret(Path(sys.argv[1])).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert done.stdout == ("" if says else "s3cr3t\n"), done.stderr
    assert says in done.stderr
