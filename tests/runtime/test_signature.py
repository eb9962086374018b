"""Signatures: ours are OpenSSL's, and neither a byte nor a key may be another."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from inspector.contract.bundle import SIGNATURE, SUMS, Bundle, read_bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.runtime.signature import make_keys, sign_bundle, trust_in
from tests.support import make_bundle, run_inspector


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundles")


def test_openssl_agrees_with_our_signature(bundle: Bundle, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    public = make_keys(tmp_path / "key")
    signature = sign_bundle(bundle.folder, tmp_path / "key")
    verify = f"openssl pkeyutl -verify -pubin -inkey {public} -rawin -in {bundle.folder / SUMS}"
    command = [*verify.split(), "-sigfile", str(signature)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_key_of_openssl_signs_too(bundle: Bundle, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    private, public = tmp_path / "key", tmp_path / "key.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    sign_bundle(bundle.folder, private)
    assert read_bundle(bundle.folder, trust_in(public)).id == bundle.id


def test_any_bit_of_a_signature_flipped_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    trust = trust_in(make_keys(tmp_path / "key"))
    path = sign_bundle(bundle.folder, tmp_path / "key")
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
        with pytest.raises(BundleError, match="is not by the key"):
            read_bundle(bundle.folder, trust)
    for bad in (b"", good[:-1], good + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(BundleError, match="not 64 bytes"):
            read_bundle(bundle.folder)


def test_a_bundle_sealed_again_keeps_no_signature_that_was_true(
    bundle: Bundle, tmp_path: Path
) -> None:
    trust = trust_in(make_keys(tmp_path / "key"))
    signature = sign_bundle(bundle.folder, tmp_path / "key")
    other = make_bundle(tmp_path / "bundles", notice="changed")
    shutil.copy(signature, other.folder / SIGNATURE)
    with pytest.raises(BundleError, match="is not by the key"):
        read_bundle(other.folder, trust)


def test_keys_are_for_their_owner_and_never_overwritten(bundle: Bundle, tmp_path: Path) -> None:
    private = tmp_path / "key"
    public = make_keys(private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match="never overwritten"):
        make_keys(private)
    private.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        sign_bundle(bundle.folder, private)
    public.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write it"):
        trust_in(public)


@pytest.mark.parametrize("kind", ["nonsense", "rsa", "private"])
def test_what_is_no_ed25519_public_key_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key.pub"
    if kind == "nonsense":
        path.write_text("ssh-ed25519 AAAA")
    elif kind == "private":
        make_keys(tmp_path / "other")
        shutil.copy(tmp_path / "other", path)
    else:
        private = tmp_path / "rsa"
        command = ["openssl", "genpkey", "-algorithm", "RSA", "-out", str(private)]
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl")
        subprocess.run(command, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", path], check=True)
    with pytest.raises(ConfigError, match=r"key\.pub: is no (public key in PEM|Ed25519 key)"):
        trust_in(path)


def test_the_commands_make_keys_sign_and_verify(bundle: Bundle, tmp_path: Path) -> None:
    assert run_inspector("bundle", "keygen", tmp_path / "key").returncode == 0
    verify = ("bundle", "verify", bundle.folder, "--key", tmp_path / "key.pub")
    unsigned = run_inspector(*verify)
    assert (unsigned.returncode, "is not signed" in unsigned.stderr) == (78, True)
    done = run_inspector("bundle", "sign", bundle.folder, "--key", tmp_path / "key")
    assert done.returncode == 0, done.stderr
    assert "signed by" in run_inspector(*verify).stdout
    assert "needs --key" in run_inspector("bundle", "sign", bundle.folder).stderr
    assert run_inspector("bundle", "use", bundle.folder).returncode == 0
    assert (bundle.folder.parent / "current").read_text() == f"{bundle.id}\n"


def test_a_bundle_is_signed_from_within_its_folder(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_keys(tmp_path / "key")
    monkeypatch.chdir(bundle.folder)
    done = run_inspector("bundle", "sign", ".", "--key", tmp_path / "key")
    assert done.returncode == 0, done.stderr
    done = run_inspector("bundle", "verify", ".", "--key", tmp_path / "key.pub")
    assert (done.returncode, "signed by" in done.stdout) == (0, True)


def test_a_folder_in_place_of_the_key_to_make_is_one_line(tmp_path: Path) -> None:
    for named in (".", tmp_path):
        done = run_inspector("bundle", "keygen", named)
        assert done.returncode == 78
        assert done.stderr == f"{named}: is a folder: name the file of the private key\n"
