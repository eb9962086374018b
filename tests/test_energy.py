"""Joules from counters as the kernel shows them, over their wraps; in words where none is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inspector.contract.errors import DeviceError
from inspector.energy import (
    CommandMeterSettings,
    FileMeterSettings,
    RaplSettings,
    open_meter,
)

RANGE_UJ = 262_143_328_850
"""Of a real package (Intel, 2^46 units of 61 uJ, less one wrap's rest)."""


def zone(folder: Path, name: str, energy_uj: int, range_uj: int = RANGE_UJ) -> Path:
    """As /sys/class/powercap has it: files with one line each."""
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def tree(folder: Path) -> dict[str, Path]:
    (folder / "intel-rapl").mkdir(parents=True)
    (folder / "intel-rapl" / "enabled").write_text("1\n")
    return {
        "package-0": zone(folder / "intel-rapl:0", "package-0", 1_000_000),
        "core": zone(folder / "intel-rapl:0:0", "core", 500_000),
        "dram": zone(folder / "intel-rapl:0:1", "dram", 100_000, 65_712_999_613),
        "package-1": zone(folder / "intel-rapl:1", "package-1", 2_000_000),
        "psys": zone(folder / "intel-rapl:2", "psys", 9_000_000),
    }


def add(path: Path, joules: float) -> None:
    """The counter goes on, and begins anew behind its range."""
    file, end = path / "energy_uj", int((path / "max_energy_range_uj").read_text())
    now = int(file.read_text()) + round(joules * 1e6)
    file.write_text(f"{now % (end + 1)}\n")


def test_packages_and_their_memory_are_summed_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    zones = tree(tmp_path)
    meter = open_meter(RaplSettings(folder=tmp_path))
    assert meter.name == "RAPL: package-0, dram, package-1"
    assert meter.joules() == 0.0
    for name, joules in (("package-0", 5.0), ("core", 4.0), ("dram", 1.0), ("psys", 20.0)):
        add(zones[name], joules)
    add(zones["package-1"], 2.5)
    assert meter.joules() == pytest.approx(8.5)
    assert meter.joules() == pytest.approx(8.5)


def test_a_counter_that_begins_anew_loses_no_joule(tmp_path: Path) -> None:
    package = zone(tmp_path / "intel-rapl:0", "package-0", RANGE_UJ - 1_500_000)
    meter = open_meter(RaplSettings(folder=tmp_path))
    for spent in (1.0, 2.0, 3.0):  # the second goes over the end
        add(package, 1.0)
        assert meter.joules() == pytest.approx(spent)
    assert int((package / "energy_uj").read_text()) < 2_000_000
    for _ in range(5):
        add(package, 0.9 * RANGE_UJ / 1e6)
        meter.joules()
    assert meter.joules() == pytest.approx(3.0 + 4.5 * RANGE_UJ / 1e6)


def test_a_machine_without_counters_says_that_it_has_no_meter(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DeviceError, match=r"no meter: .* shows no RAPL package"):
            open_meter(RaplSettings(folder=folder))


def test_counters_that_only_root_may_read_say_so() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        package = zone(Path(name, "intel-rapl:0"), "package-0", 1)
        (package / "energy_uj").chmod(0o400 if os.geteuid() == 0 else 0o000)
        code = (
            "import os, sys; from pathlib import Path; from inspector.energy import Rapl\n"
            "if os.geteuid() == 0: os.setuid(65534)\n"
            "try: Rapl(Path(sys.argv[1]))\nexcept Exception as error: print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=True
        )
    assert "energy_uj may not be read; root may" in done.stdout


def test_a_file_and_a_command_count_in_their_own_units(tmp_path: Path) -> None:
    counter = tmp_path / "energy1_input"
    counter.write_text("5000000\n")
    file = open_meter(FileMeterSettings(path=counter, joules_per_unit=1e-6))
    command = open_meter(
        CommandMeterSettings(command=("cat", str(counter)), joules_per_unit=3600.0)
    )
    counter.write_text("7500000\n")
    assert file.joules() == pytest.approx(2.5)
    assert command.joules() == pytest.approx(2_500_000 * 3600.0)
    counter.write_text("broken\n")
    for meter in (file, command):
        with pytest.raises(DeviceError, match=r"no meter: .*'broken.*' is no number"):
            meter.joules()
    with pytest.raises(DeviceError, match="no meter: false: "):
        open_meter(CommandMeterSettings(command=("false",)))


@pytest.mark.parametrize("said", ["nan", "inf", "1e400", "ÿ\xff no", ""])
def test_a_meter_that_says_no_number_is_none_in_words(tmp_path: Path, said: str) -> None:
    file = tmp_path / "joules"
    file.write_bytes(said.encode("latin-1"))
    zone(tmp_path / "intel-rapl:0", "package-0", 1)
    (tmp_path / "intel-rapl:0" / "max_energy_range_uj").write_bytes(said.encode("latin-1"))
    for settings in (
        FileMeterSettings(path=file),
        CommandMeterSettings(command=("cat", str(file))),
        RaplSettings(folder=tmp_path),
    ):
        with pytest.raises(DeviceError, match="is no number"):
            open_meter(settings)
