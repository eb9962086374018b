"""The same model in another form: quicker on some machines, and never quite of the same answers.

So each has limits and a certificate that were found with its own scores, and its own expected
answers to the bundle's golden pictures.
"""

from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.strict import Distance, Score, Sha256, Strict
from inspector.contract.verdict import Limits

FLOAT = "float"
"""What the bundle's own model is called among its variants: every machine can run it."""

VariantName = Literal["int8-vnni", "int8-avx2", "int8-arm", "fp16"]
Wanted = Literal["auto", "float", "int8-vnni", "int8-avx2", "int8-arm", "fp16"]
"""auto: the first variant this machine is made for, else float."""

Tolerance = Annotated[float, Field(gt=0.0, le=0.2)]
CPU_PROVIDER = "CPUExecutionProvider"


class Needs(Strict):
    """What a machine must have for a variant to be chosen by itself."""

    machine: Literal["x86_64", "aarch64"] | None = None
    """As `uname -m` calls it."""
    cpu_flags: tuple[str, ...] = ()
    """One of them at least, as /proc/cpuinfo calls it; none named: any CPU."""
    provider: str = CPU_PROVIDER
    """onnxruntime's name of what runs it."""


class Expected(Strict):
    """A variant's answer to a golden picture."""

    probabilities: tuple[Score, ...]
    novelty: Annotated[float, Field(ge=0.0)] | None = None


class Variant(Strict):
    name: VariantName
    file: str
    sha256: Sha256
    precision: Literal["int8", "fp16"]
    needs: Needs
    limits: Limits
    certificate: str
    """What the limits promise, with n and bound, in one sentence."""
    golden: Annotated[tuple[Expected, ...], Field(min_length=1)]
    """In the order of the manifest's golden pictures."""
    tolerance: Tolerance
    novelty_tolerance: Distance | None = None
