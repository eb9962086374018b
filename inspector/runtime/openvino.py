"""A bundle's model in OpenVINO, on the CPU, in float32 where the model is: often quicker on Intel.

Asked to end, a run looks between two operators of the graph, as onnxruntime's does; but within a
loop of the graph it does not look, where onnxruntime's does. A model that hangs in one is ended by
the watchdog, with the process. What training exports has no loops.
"""

import mmap
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ConfigError, ModelError
from inspector.contract.image import Image
from inspector.runtime.model import STOPPED, ModelRuntime, Signature, Value, first_line

if TYPE_CHECKING:
    import openvino

SIZES_MAX = 4
"""Batch sizes a model is kept compiled for: whole batches, and what is left over of a part."""
TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}
FLOAT32 = "f32"


class _Run:
    """One call of the model, which another thread may stop, but not the call behind it."""

    def __init__(self, request: "openvino.InferRequest") -> None:
        self._request = request
        self._lock = threading.Lock()
        self._over = False
        self.stopped = False

    def stop(self) -> None:
        with self._lock:
            if not self._over:
                self.stopped = True
                self._request.cancel()

    def over(self) -> None:
        with self._lock:
            self._over = True


class OpenVinoRuntime(ModelRuntime):
    """ports.Runtime. One thread uses it."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Open and warm up. Raises BundleError where the model is not what the manifest says,
        ConfigError where OpenVINO is not installed.
        """
        super().__init__(bundle)
        self._core, version = _core()
        self.engine = f"openvino {version}, CPU, threads: {threads}"
        self._threads = threads
        self._model = self._read(bundle)
        self._requests: OrderedDict[int, openvino.InferRequest] = OrderedDict()
        self._under_way: _Run | None = None
        self._make_ready()

    def under_way(self) -> Callable[[], None] | None:
        """As ports.Runtime; see above for what does not look whether to stop."""
        run = self._under_way
        return run.stop if run and not run.stopped else None

    def _call(self, batch: Image) -> list[Any]:
        try:
            request = self._request(len(batch))
        except Exception as error:
            raise ModelError(f"openvino: {_words(error)}") from error
        run = self._under_way = _Run(request)
        try:
            # a call that waits where it began takes no notice of a cancel: measured, 2026.4.1
            request.start_async({self._input: batch}, share_inputs=True)
            request.wait()
            # the request's own memory is written by the next call
            return [np.array(request.get_tensor(name).data) for name in self._outputs]
        except Exception as error:
            if run.stopped:
                raise ModelError(STOPPED) from error
            raise ModelError(f"openvino: {_words(error)}") from error
        finally:
            run.over()
            self._under_way = None

    def _signature(self) -> Signature:
        return Signature(_values(self._model.inputs), _values(self._model.outputs))

    def _read(self, bundle: Bundle) -> "openvino.Model":
        model = bundle.read(self.manifest.model.file)
        try:
            return self._core.read_model(model)
        except Exception as error:  # noqa: BLE001 - whatever a foreign file makes it raise
            words = f"{bundle.model_path}: openvino cannot open it: {_words(error)}"
            raise BundleError(words) from None

    def _request(self, images: int) -> "openvino.InferRequest":
        """Compiled for this batch size: with its batch left open a model takes a fifth longer."""
        if images in self._requests:
            self._requests.move_to_end(images)
            return self._requests[images]
        model = self._model.clone()
        spec = self.spec
        model.reshape({self._input: [images, spec.height, spec.width, 3]})
        compiled = self._core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": FLOAT32,  # else bfloat16 where the CPU has it
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": "1",
                "INFERENCE_NUM_THREADS": str(self._threads),
                "ENABLE_CPU_PINNING": "NO",  # stations of one machine would share a core
            },
        )
        while len(self._requests) >= SIZES_MAX:
            self._requests.popitem(last=False)
        self._requests[images] = compiled.create_infer_request()
        return self._requests[images]


def _values(ports: list[Any]) -> dict[str, Value]:
    values = {}
    for port in ports:
        kind = port.get_element_type().to_string()
        shape = [None if each.is_dynamic else each.get_length() for each in port.partial_shape]
        values[port.get_any_name()] = Value(TYPES.get(kind, f"tensor({kind})"), shape)
    return values


def _words(error: Exception) -> str:
    """The first line that says something: those before it name files of OpenVINO's own."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '"))]
    return said[0][:300] if said else first_line(error)


def _require_code() -> None:
    """It compiles a model to code in memory, which systemd's sandbox may forbid: then it fails with
    words that say nothing of that. Raises ConfigError.
    """
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        raise ConfigError(
            "runtime.kind openvino: this process may not make code in memory, which OpenVINO does; "
            "under systemd a drop-in with [Service] MemoryDenyWriteExecute=no lets it"
        ) from None


def _core() -> "tuple[openvino.Core, str]":
    """Raises ConfigError where it is not installed, or cannot work in this process."""
    # importing it imports its converter, which tells Google Analytics so (opt-out): not a station
    sys.modules.setdefault("openvino.tools.ovc", cast("ModuleType", None))
    try:
        import openvino
        from openvino.frontend.onnx import ConversionExtension
    except ImportError:
        raise ConfigError(
            "runtime.kind openvino: needs the openvino extra: pip install 'inspector[openvino]'"
        ) from None
    _require_code()
    core = openvino.Core()
    core.add_extension(ConversionExtension("ReduceLogSumExp", _reduce_log_sum_exp))
    loads = threading.Thread(target=_load_plugin, args=(core,))
    loads.start()
    loads.join()
    return core, openvino.__version__.split("-")[0]


def _load_plugin(core: "openvino.Core") -> None:
    """On a thread of its own: the plugin gives the thread that loads it another stack for signals,
    and unmaps that with its last model, on whichever thread (2026.4.1, on an AMD EPYC). Of
    the main thread, the next SIGTERM would kill the process.
    """
    with suppress(Exception):  # whoever compiles a model is told
        core.get_property("CPU", "FULL_DEVICE_NAME")


def _reduce_log_sum_exp(node: Any) -> Any:
    """In OpenVINO's operators; its own (2026.4.1) takes no notice of `axes` below opset 18, and so
    sums over the batch too. Our bundles' defect map is made of it, at opset 17.
    """
    import openvino.opset13 as op

    data = node.get_input(0)
    if node.get_input_size() > 1:
        axes = node.get_input(1)
    else:
        named = node.get_attribute("axes", None)
        rank = data.get_partial_shape().rank.get_length()
        axes = op.constant(np.array(range(rank) if named is None else named, np.int64))
    highest = op.reduce_max(data, axes, keep_dims=True)
    total = op.reduce_sum(op.exp(op.subtract(data, highest)), axes, keep_dims=True)
    result = op.add(op.log(total), highest)
    if not node.get_attribute("keepdims", 1):
        result = op.squeeze(result, axes)
    return result.outputs()
