"""A bundle's model in onnxruntime, on the CPU or on what else the installed one can."""

import logging
import os
from collections.abc import Callable
from typing import Any

import onnxruntime as ort

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ConfigError, ModelError
from inspector.contract.image import Image
from inspector.runtime.model import STOPPED, ModelRuntime, Signature, Value, first_line
from inspector.runtime.settings import Provider

CPU = "CPUExecutionProvider"
PROVIDERS: dict[Provider, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": CPU,
}
"""As the settings name them, the quickest first."""
WEIGHTS_FROM = "session.model_external_initializers_file_folder_path"
BATCH_MAX_GPU = 64
"""Its kernels want work; not measured."""

log = logging.getLogger(__name__)


class _Run:
    """One call of the model, which another thread may stop."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        self.options.terminate = True


class OnnxRuntime(ModelRuntime):
    """ports.Runtime. One thread uses it."""

    def __init__(self, bundle: Bundle, threads: int = 1, provider: Provider = "cpu") -> None:
        """Open and warm up. Raises BundleError where the model is not what the manifest says,
        ConfigError where the installed onnxruntime cannot do what the settings ask for.
        """
        super().__init__(bundle)
        where = str(bundle.model_path)
        self._session = _open(bundle.read(self.manifest.model.file), where, threads, provider)
        computes_on = self._session.get_providers()[0].removesuffix("ExecutionProvider")
        if computes_on != "CPU":
            self.batch_max = BATCH_MAX_GPU
        self.engine = f"onnxruntime {ort.__version__}, {computes_on}, threads: {threads}"
        self._under_way: _Run | None = None
        self._make_ready()

    def under_way(self) -> Callable[[], None] | None:
        """As ports.Runtime. It is between two operators that a model looks whether to stop."""
        run = self._under_way
        return run.stop if run and not run.stopped else None  # once is enough

    def _call(self, batch: Image) -> list[Any]:
        run = self._under_way = _Run()
        try:
            found: list[Any] = self._session.run(self._outputs, {self._input: batch}, run.options)
        except Exception as error:
            if run.stopped:
                raise ModelError(STOPPED) from error
            raise ModelError(f"onnxruntime: {first_line(error)}") from error
        finally:
            self._under_way = None
        return found

    def _signature(self) -> Signature:
        return Signature(
            {each.name: Value(each.type, each.shape) for each in self._session.get_inputs()},
            {each.name: Value(each.type, each.shape) for each in self._session.get_outputs()},
        )


def input_size(model: bytes, name: str) -> tuple[int, int]:
    """(height, width) of a model's picture, 0 where the graph leaves it open.

    Raises BundleError where it is no model of pictures.
    """
    shape = [each.shape for each in _open(model, name, threads=1, provider="cpu").get_inputs()]
    if len(shape) != 1 or len(shape[0]) != 4:
        raise BundleError(f"{name}: takes {shape}, expected one batch x height x width x 3")
    height, width = (side if isinstance(side, int) else 0 for side in shape[0][1:3])
    return height, width


def providers_for(wanted: Provider, there: list[str]) -> list[str]:
    """What a session may compute on, the first first. there: what the installed onnxruntime has.

    What a provider cannot do goes to those behind it. Raises ConfigError where it has not the
    wanted one.
    """
    if wanted != "auto" and PROVIDERS[wanted] not in there:
        has = _named(there)
        raise ConfigError(
            f"runtime.provider {wanted}: the onnxruntime installed here has {', '.join(has)} alone "
            '(pip install onnxruntime-gpu in its place), or write "auto"'
        )
    names = list(PROVIDERS)
    allowed = names if wanted == "auto" else names[names.index(wanted) :]
    return [PROVIDERS[name] for name in allowed if PROVIDERS[name] in there]


def installed_providers() -> list[Provider]:
    """Of those that settings may name, the quickest first."""
    return _named(ort.get_available_providers())


def _named(there: list[str]) -> list[Provider]:
    return [name for name, full in PROVIDERS.items() if full in there]


def open_graph(model: bytes, threads: int) -> Callable[[Any], list[Any]]:
    """A graph with the input `x` and the output `y`, on the CPU, as a station runs its own."""
    session = ort.InferenceSession(model, _options(threads), providers=[CPU])
    return lambda x: session.run(["y"], {"x": x})


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # of a model in memory it would read weights beside it from wherever the process was started
    options.add_session_config_entry(WEIGHTS_FROM, os.devnull)
    options.log_severity_level = 3  # its warnings are for who exported the model
    if threads > 1:
        # a waiting thread that spins takes the core from courier and capture
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _open(model: bytes, where: str, threads: int, provider: Provider) -> Any:
    """The whole of the model is in these bytes: no file is opened, whose bytes may be others."""
    providers = providers_for(provider, ort.get_available_providers())
    try:
        session = ort.InferenceSession(model, _options(threads), providers=providers)
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        raise BundleError(f"{where}: onnxruntime cannot open it: {first_line(error)}") from None
    if session.get_providers()[0] != providers[0]:  # it goes on with another without a word to us
        words = f"{providers[0]} does not start here (driver, libraries)"
        if provider != "auto":
            raise ConfigError(f"runtime.provider {provider}: {words}")
        log.warning("%s: %s computes", words, session.get_providers()[0])
    if session.get_providers() == [CPU]:
        session._model_bytes = None  # held to open it anew on the CPU, where it is
    return session
