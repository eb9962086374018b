"""Which library runs the model, and with how much of the machine: `[runtime]` of station.toml."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inspector.contract.strict import Strict

Threads = Annotated[int, Field(ge=1, le=64)]
"""With one of two cores busy, two threads had twice the p99 of one: more is not quicker."""

Kind = Literal["onnxruntime", "openvino"]
Provider = Literal["cpu", "cuda", "tensorrt", "auto"]


class RuntimeSettings(Strict):
    kind: Kind | Literal["auto"] = "onnxruntime"
    """onnxruntime is what training judged the bundle with. auto: what `inspector bench --runtimes`
    recorded for the bundle on this very machine, else onnxruntime."""
    threads: Threads = 1
    """For one run of the model; with kind = "auto" only where nothing is recorded."""
    provider: Provider = "cpu"
    """What onnxruntime computes on; auto: the quickest that the installed one can."""
    chosen: Path = Path("runtime.json")
    """Where `inspector bench --runtimes` records its choice; read where kind is "auto"."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.kind == "openvino" and self.provider != "cpu":
            raise ValueError(f'provider {self.provider}: is onnxruntime\'s; openvino takes "cpu"')
        return self

    @property
    def words(self) -> str:
        """As a table and a log name it."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        where = "" if self.provider == "cpu" else f", {self.provider}"
        return f"{self.kind}{where}, {threads}"


AS_JUDGED = RuntimeSettings()
"""What training judges bundles with, and what a station falls back to."""
