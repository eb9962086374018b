"""What this machine's CPU can do, as Linux says it."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Cpu:
    machine: str
    """As `uname -m` calls it; AMD64 and arm64, of other systems, are x86_64 and aarch64."""
    flags: frozenset[str]
    """As /proc/cpuinfo calls them; none where there is no such file."""


def read_cpu(cpuinfo: Path = CPUINFO) -> Cpu:
    """Flags that every core has: a thread may run on any."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return Cpu(machine, frozenset())
    named = [line.partition(":") for line in lines]
    cores = [
        frozenset(value.split())
        for key, _, value in named
        if key.strip() in ("flags", "Features")  # x86; ARM
    ]
    return Cpu(machine, frozenset.intersection(*cores) if cores else frozenset())
