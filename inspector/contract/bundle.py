"""The bundle: an immutable folder that training writes once and a station verifies every time.

    NAME-0123456789ab/       named by the hash of SHA256SUMS
      SHA256SUMS             every other file; `sha256sum -c SHA256SUMS` works too
      SHA256SUMS.sig         optional: Ed25519 over SHA256SUMS, 64 bytes, the only file not in it
      manifest.json          what it is
      model.onnx             uint8 NHWC in; probabilities, map (if any), novelty (if measured) out
      variants/*.onnx        optional: the same in INT8 or FP16, for machines that are made for it
      golden/*.png           pictures with known scores: the self-test
      report.json report.html

A byte changed, added or missing anywhere makes `read_bundle` refuse the folder.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from inspector.contract.errors import BundleError
from inspector.contract.image import ImageSpec, Tiling, Wanted
from inspector.contract.strict import Distance, Name, Score, Sha256, Strict
from inspector.contract.sums import FILES_MAX as FILES_MAX
from inspector.contract.sums import SIGNATURE as SIGNATURE
from inspector.contract.sums import SUMS as SUMS
from inspector.contract.sums import file_sha256 as file_sha256
from inspector.contract.sums import first_difference, read_summed, sums_of, sync
from inspector.contract.variant import FLOAT, Tolerance, Variant
from inspector.contract.verdict import Limits

SIGNATURE_BYTES = 64
MANIFEST = "manifest.json"
ID_DIGITS = 12


class ModelInfo(Strict):
    """The ONNX graph: what it is made of and what its outputs are called."""

    file: str = "model.onnx"
    sha256: Sha256
    precision: Literal["fp32", "int8", "fp16"]
    architecture: str
    parameters: Annotated[int, Field(gt=0)]
    input: str = "image"
    """uint8, batch x height x width x 3, BGR."""
    probabilities: str = "probabilities"
    """float32, batch x classes."""
    defect_map: str | None = "defect_map"
    """float32, batch x rows x columns over the picture, 0..1: above 0.5 a cell is unlike that of
    good parts. Only shown, never decided by. None: the architecture has no cells to tell of."""
    novelty: str | None = None
    """float32, batch, 0 or above: how far from everything in training; None: not measured."""


class Golden(Strict):
    """A picture no model was trained or tuned on, with the answer expected of this model.

    For a model of tiles it is one tile: the worst of its part, which has the part's score. Where
    they have an overview, its part's stands behind each: the two together have the part's score.
    """

    file: str
    label: str
    probabilities: tuple[Score, ...]
    novelty: Annotated[float, Field(ge=0.0)] | None = None
    overview: Wanted = False
    """It shows all of the picture that the one before it is a tile of."""


class DataInfo(Strict):
    """Where the images came from. `golden_sha256` names the golden set."""

    fingerprint: Sha256
    golden_sha256: Sha256
    parts: dict[str, int]
    licence: str
    notice: str = ""
    """Shown wherever the bundle is used; empty where nothing restricts its use."""


class Manifest(Strict):
    schema_version: Literal[1, 2] = Field(default=1, alias="schema")
    """2 where there are variants, which an older station does not know; else 1, which it does."""
    name: Name
    created_at: datetime
    """The day of the newest image, list or plan it was made from, or SOURCE_DATE_EPOCH: the same
    inputs make the same bundle, on whatever day the job runs."""
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    good: Annotated[tuple[str, ...], Field(min_length=1)]
    """The labels a part may have and pass; every other one is a defect."""
    image: ImageSpec
    tiles: Tiling | None = None
    """What the model was trained on: tiles of a picture; None: whole pictures."""
    limits: Limits
    certificate: str
    """What the limits promise, with n and bound, in one sentence."""
    model: ModelInfo
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]
    tolerance: Tolerance
    """Largest difference of a golden probability that the self-test accepts."""
    novelty_tolerance: Distance | None = None
    """The same of a golden novelty."""
    variants: Annotated[tuple[Variant, ...], Field(max_length=8, exclude_if=lambda v: not v)] = ()
    """Other forms of the model, the first that suits a machine taken; else the model itself."""
    data: DataInfo
    code: str
    """Version and fingerprint of the code that made it."""
    plan_sha256: Sha256

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: one appears twice")
        if not set(self.good) < set(self.labels):
            raise ValueError("good: must be some of labels, not all")
        for golden in self.golden:
            if golden.label not in self.labels or len(golden.probabilities) != len(self.labels):
                raise ValueError(f"golden {golden.file}: label or probabilities do not fit labels")
        count = len(self.golden)
        pairs = self.tiles is not None and self.tiles.overview
        wanted = [False, True] * (count // 2) if pairs else [False] * count
        if [each.overview for each in self.golden] != wanted:
            raise ValueError("golden: an overview behind each tile where tiles.overview, else none")
        novelty = (
            self.model.novelty,
            self.limits.novelty_at,
            self.novelty_tolerance,
            *(golden.novelty for golden in self.golden),
        )
        if None in novelty and any(each is not None for each in novelty):
            raise ValueError(
                "model.novelty, limits.novelty_at, novelty_tolerance and every golden.novelty: "
                "all of them, or none"
            )
        return self

    @model_validator(mode="after")
    def _variants_whole(self) -> Self:
        if (self.schema_version == 2) != bool(self.variants):
            raise ValueError("schema: is 2 where there are variants, and 1 where there are none")
        if self.model.precision == "fp16":
            raise ValueError("model.precision: fp16 is a variant's; any CPU must run the model")
        if len({each.name for each in self.variants}) < len(self.variants):
            raise ValueError("variants: each name once")
        for variant in self.variants:
            if len(variant.golden) != len(self.golden):
                raise ValueError(f"variants: {variant.name}: one answer for each golden picture")
            try:
                self.of(variant)
            except ValidationError as error:
                raise ValueError(f"variants: {variant.name}: {error.errors()[0]['msg']}") from None
        return self

    def of(self, variant: Variant) -> "Manifest":
        """The manifest as it would be, were the variant the bundle's only model."""
        own = variant.model_dump(
            include={"limits", "certificate", "tolerance", "novelty_tolerance"}
        )
        pairs = zip(self.golden, variant.golden, strict=True)
        own["golden"] = [{**one.model_dump(), **other.model_dump()} for one, other in pairs]
        rest = self.model_dump(by_alias=True, exclude={"variants"})
        alone = Manifest.model_validate({**rest, **own, "schema": 1})
        files = variant.model_dump(include={"file", "sha256", "precision"})
        return alone.model_copy(update={"model": self.model.model_copy(update=files)})


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every byte was verified when it was read. Files are opened by `read` alone."""

    id: str
    manifest: Manifest
    folder: Path
    sums: str
    """SHA256SUMS as it was then."""
    variant: str = FLOAT
    """Which of the bundle's models the manifest speaks of."""

    def of(self, variant: Variant) -> "Bundle":
        """The same bundle with the variant in the place of its model."""
        return replace(self, manifest=self.manifest.of(variant), variant=variant.name)

    def read(self, file: str) -> bytes:
        """The bytes that were verified, all in memory. Raises BundleError where they are others."""
        return read_summed(self.folder, file, self.sums)

    @property
    def model_path(self) -> Path:
        return self.folder / self.manifest.model.file


Trust = Callable[[bytes, bytes | None], None]
"""Takes the bytes of SHA256SUMS and its signature, if there is one; raises BundleError."""


def read_bundle(folder: Path, trust: Trust | None = None) -> Bundle:
    """Verify every byte of a bundle and return it. Raises BundleError in words.

    trust: who may have made it; asked before anything in the bundle is interpreted. Without it
    a signature is not looked into, as there is no key to hold it against.
    """
    if not folder.is_dir():
        raise BundleError(f"bundle {folder}: there is no such folder")
    actual, recorded, signature = _texts(folder)
    if recorded != actual:
        raise BundleError(f"bundle {folder}: {first_difference(recorded, actual, SUMS)}")
    if trust is not None:
        try:
            trust(recorded.encode("ascii"), signature)
        except BundleError as error:
            raise BundleError(f"bundle {folder}: {error}") from None
    text = read_summed(folder, MANIFEST, actual)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(step) for step in fault["loc"])
        raise BundleError(f"bundle {folder}: {MANIFEST}: {key}: {fault['msg']}") from None
    bundle_id = _id(manifest.name, actual)
    if folder.resolve().name != bundle_id:
        raise BundleError(
            f"bundle {folder}: the folder must be called {bundle_id}, after what is in it"
        )
    wrong = _fault_of_files(manifest, actual)
    if wrong is not None:
        raise BundleError(f"bundle {folder}: {MANIFEST} {wrong}")
    return Bundle(bundle_id, manifest, folder, actual)


def _texts(folder: Path) -> tuple[str, str, bytes | None]:
    """Sums as they are and as recorded, signature. Raises BundleError in words."""
    try:
        return (
            sums_of(folder),
            (folder / SUMS).read_text(encoding="ascii"),
            _signature(folder),
        )
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise BundleError(f"bundle {folder}: there is no {name} in it: is it a bundle?") from None
    except OSError as error:
        name = Path(error.filename or folder).name
        raise BundleError(f"bundle {folder}: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BundleError(f"bundle {folder}: cannot be read: {error}") from None


def _fault_of_files(manifest: Manifest, actual: str) -> str | None:
    """What the manifest says of files that the sums do not bear out."""
    models = [(manifest.model.file, manifest.model.sha256)]
    models += [(each.file, each.sha256) for each in manifest.variants]
    files = {file for file, _ in models}
    for name in sorted(files | {golden.file for golden in manifest.golden}):
        if f"  {name}\n" not in actual:
            return f"names {name}, which is not there"
    for file, sha256 in models:
        if f"{sha256}  {file}\n" not in actual:
            return f"has another model's sha256 for {file}"
    return "names one file for two models" if len(files) < len(models) else None


def write_bundle(draft: Path, manifest: Manifest, into: Path) -> Bundle:
    """Seal the draft folder (all files but manifest and sums) and move it into place whole.

    The same content gives the same id, so that a repeated job finds its own bundle. The draft
    must be on the file system of `into`. Raises BundleError where the result does not verify.
    """
    text = manifest.model_dump_json(by_alias=True, indent=2) + "\n"
    (draft / MANIFEST).write_text(text, encoding="utf-8")
    sums = sums_of(draft)
    (draft / SUMS).write_text(sums, encoding="ascii")
    for path in draft.rglob("*"):
        sync(path)
    (draft / SIGNATURE).unlink(missing_ok=True)  # of what it was made from
    folder = into / _id(manifest.name, sums)
    into.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(draft)
    else:
        draft.rename(folder)
        sync(into)
    return read_bundle(folder)


def _id(name: str, sums: str) -> str:
    return f"{name}-{hashlib.sha256(sums.encode()).hexdigest()[:ID_DIGITS]}"


def _signature(folder: Path) -> bytes | None:
    path = folder / SIGNATURE
    if not path.exists():
        return None
    if path.stat().st_size != SIGNATURE_BYTES:
        raise BundleError(f"bundle {folder}: {SIGNATURE} is damaged: not {SIGNATURE_BYTES} bytes")
    return path.read_bytes()
