"""Under which conditions a study was made: what a reader must know to repeat it."""

import getpass
import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspector import __version__
from inspector.contract.bundle import Bundle, file_sha256
from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits

LIBRARIES = ("onnxruntime", "opencv-python-headless", "numpy", "pydantic")


class FileUsed(Strict):
    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileUsed":
        try:
            return cls(path=str(path), sha256=file_sha256(path))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


class BundleUsed(Strict):
    id: str
    sha256: str
    """Of SHA256SUMS, which names every byte of it."""
    certificate: str
    notice: str
    architecture: str
    precision: str

    @classmethod
    def of(cls, bundle: Bundle) -> "BundleUsed":
        manifest = bundle.manifest
        return cls(
            id=bundle.id,
            sha256=hashlib.sha256(bundle.sums.encode()).hexdigest(),
            certificate=manifest.certificate,
            notice=manifest.data.notice,
            architecture=manifest.model.architecture,
            precision=manifest.model.precision,
        )


class Machine(Strict):
    host: str
    system: str
    processor: str
    cores: int
    software: dict[str, str]

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            host=platform.node(),
            system=platform.platform(),
            processor=_processor(),
            cores=os.cpu_count() or 1,
            software={
                "inspector": __version__,
                "Python": platform.python_version(),
                **{name: found for name in LIBRARIES if (found := _version(name))},
            },
        )


class Conditions(Strict):
    by: str
    """Who made the study."""
    begun_at: str
    ended_at: str
    """UTC."""
    station: str
    topic_root: str
    recipe: str
    limits: Limits
    """Which the parts were judged by."""
    bundle: BundleUsed
    files: tuple[FileUsed, ...]
    """As they were when the study was evaluated."""
    camera: dict[str, Any]
    trigger: dict[str, Any]
    """A password is not shown."""
    source: str
    """Where pictures and results came from, in words."""
    caveats: tuple[str, ...] = ()
    """What keeps the study from saying more."""
    machine: Machine


def user() -> str:
    """Who is at the keyboard, as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _version(name: str) -> str | None:
    if name == "opencv-python-headless":
        return str(cv2.__version__)
    if name == "numpy":
        return np.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
