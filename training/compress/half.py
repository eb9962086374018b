"""FP16 of the ONNX graph, for GPU providers. On a CPU it runs too, by casts, and no quicker."""

import warnings
from pathlib import Path

import onnx
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from training.compress.quantize import head_nodes


def halve(fp32: Path, fp16: Path) -> None:
    """Write the FP16 form: inputs and outputs as they are, head and novelty in FP32.

    Untested on a GPU; its answers are held to FP32's on the CPU like any other form's.
    """
    model = onnx.load(str(fp32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that become zero: below 6e-8 they are
        small = convert_float_to_float16(
            model, keep_io_types=True, node_block_list=head_nodes(fp32)
        )
    ONNXModel(small).topological_sort()  # it puts its casts at the end
    draft = fp16.with_name(fp16.name + ".part")
    onnx.save_model(small, str(draft))
    onnx.checker.check_model(str(draft))
    draft.replace(fp16)
