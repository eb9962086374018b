"""A bundle with any byte changed is refused, and says which file is at fault."""

import os
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from inspector.contract.bundle import MANIFEST, SUMS, Bundle, Manifest, read_bundle
from inspector.contract.errors import BundleError
from tests.support import make_bundle, run_inspector


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def copy(sealed: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed.folder, tmp_path / sealed.id))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_untouched_copy_is_accepted(sealed: Bundle, copy: Path) -> None:
    assert read_bundle(copy).manifest == sealed.manifest


def test_any_byte_of_any_file_flipped_is_refused(copy: Path) -> None:
    for path in files(copy):
        good = path.read_bytes()
        for at in {0, 1, len(good) // 3, len(good) // 2, len(good) - 1}:
            for bit in (0x01, 0x20, 0x80):
                path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
                with pytest.raises(BundleError):
                    read_bundle(copy)
        path.write_bytes(good)
    read_bundle(copy)


def test_a_folder_that_is_no_bundle_and_a_file_that_cannot_be_read_are_told_in_words(
    copy: Path, tmp_path: Path
) -> None:
    for folder, words in (
        (tmp_path, "there is no SHA256SUMS in it: is it a bundle?"),
        (tmp_path / "absent", f"there is no such folder; there are: {copy.name}"),
    ):
        done = run_inspector("bundle", "verify", folder)
        assert (done.returncode, done.stderr) == (78, f"bundle {folder}: {words}\n")
    (copy / SUMS).unlink()
    (copy / SUMS).mkdir()
    with pytest.raises(BundleError, match=f"{SUMS} cannot be read: Is a directory$"):
        read_bundle(copy)


def test_any_file_cut_short_lengthened_or_emptied_is_refused(copy: Path) -> None:
    for path in files(copy):
        good = path.read_bytes()
        for bad in (good[:-1], good + b"\n", b""):
            path.write_bytes(bad)
            with pytest.raises(BundleError):
                read_bundle(copy)
        path.write_bytes(good)


def test_any_file_missing_or_renamed_is_refused(copy: Path) -> None:
    for path in files(copy):
        renamed = path.with_name(path.name + "x")
        path.rename(renamed)
        with pytest.raises(BundleError):
            read_bundle(copy)
        renamed.rename(path)


@pytest.mark.parametrize("name", ["extra.txt", "golden/extra.png", "new/SHA256SUMS"])
def test_a_file_added_is_refused(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x")
    with pytest.raises(BundleError):
        read_bundle(copy)


def test_two_files_exchanged_are_refused(copy: Path) -> None:
    first, second = copy / "golden/good.png", copy / "golden/dark.png"
    first.rename(copy / "x")
    second.rename(first)
    (copy / "x").rename(second)
    with pytest.raises(BundleError, match=r"golden/\w+.png is damaged"):
        read_bundle(copy)


def test_a_link_is_refused(copy: Path) -> None:
    model = copy / "model.onnx"
    target = Path(shutil.move(model, copy.parent / "elsewhere.onnx"))
    model.symlink_to(target)
    with pytest.raises(BundleError, match=r"model.onnx is a link"):
        read_bundle(copy)


@pytest.mark.parametrize("name", ["pipe", "SHA256SUMS"])
def test_a_pipe_is_refused_and_not_read(copy: Path, name: str) -> None:
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    with pytest.raises(BundleError, match="is not a file"):
        read_bundle(copy)


def test_a_manifest_that_is_changed_between_the_sums_and_its_reading_is_refused(copy: Path) -> None:
    def change(_sums: bytes, _signature: bytes | None) -> None:  # asked between the two
        with (copy / MANIFEST).open("ab") as file:
            file.write(b" ")

    with pytest.raises(BundleError, match=r"manifest\.json was changed after"):
        read_bundle(copy, change)


def test_another_name_for_the_folder_is_refused(copy: Path) -> None:
    other = copy.rename(copy.with_name("tiny-000000000000"))
    with pytest.raises(BundleError, match="the folder must be called"):
        read_bundle(other)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no such folder"):
        read_bundle(tmp_path / "nothing")


def test_what_the_manifest_names_must_be_there(tmp_path: Path) -> None:
    def forget_one(draft: Path) -> None:
        (draft / "golden" / "good.png").unlink()

    with pytest.raises(BundleError, match=r"manifest.json names golden/good.png"):
        make_bundle(tmp_path, spoil=forget_one)


@pytest.mark.parametrize(
    "less",
    [("model", "novelty"), ("limits", "novelty_at"), ("novelty_tolerance",), ("golden", "novelty")],
    ids=".".join,
)
def test_a_manifest_speaks_of_novelty_everywhere_or_nowhere(
    tmp_path: Path, less: tuple[str, ...]
) -> None:
    manifest = make_bundle(tmp_path, novelty_at=1.0).manifest.model_dump(by_alias=True)
    assert Manifest.model_validate(manifest).limits.novelty_at == 1.0
    table = manifest
    for step in less[:-1]:
        table = table[step][1] if step == "golden" else table[step]
    table[less[-1]] = None
    with pytest.raises(ValidationError, match="all of them, or none"):
        Manifest.model_validate(manifest)


def test_the_same_content_gives_the_same_bundle(sealed: Bundle, tmp_path: Path) -> None:
    assert make_bundle(tmp_path).id == sealed.id
