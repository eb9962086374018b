"""On which machine something was measured: figures hold for it, and for no other."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from inspector.contract.strict import Strict
from inspector.runtime.cpu import CPUINFO, read_cpu

FLAGS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve"),
)
"""Those that decide which kernels a runtime takes."""
LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "openvino")


class Machine(Strict):
    cpu: str
    """As it calls itself; a virtual machine may call it anything."""
    machine: str
    """x86_64 or aarch64."""
    flags: tuple[str, ...]
    cores: int
    """That this process may use."""
    versions: dict[str, str]
    """Of the runtimes that are installed."""


def this_machine() -> Machine:
    cpu = read_cpu()
    return Machine(
        cpu=_cpu_name() or cpu.machine,
        machine=cpu.machine,
        flags=tuple(flag for flag in FLAGS if flag in cpu.flags),
        cores=len(os.sched_getaffinity(0)),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str | None:
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    named = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in named if key.strip() == "model name"), None)
