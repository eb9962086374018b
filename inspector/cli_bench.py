"""`inspector bench`: what the station adds to the bare model, and what runs the model best here."""

import argparse
from pathlib import Path
from typing import Any

from inspector.arguments import part_count, require_meant, size

PARTS, PARTS_OF_EACH = 1_000, 400
SIZE = (300, 300)
FAILED = 1
MEANT = {
    "STATION.TOML": ("parts", "live"),
    "--bundle": ("parts", "live", "size", "disk"),
    "--runtimes": ("parts", "json"),
    "--profile": ("threads",),
}
"""What has an effect with which source."""


def add_commands(add: Any) -> None:
    bench = add("bench", _bench, "time the bare model and the whole station side by side")
    source = bench.add_mutually_exclusive_group(required=True)
    source.add_argument("settings", type=Path, nargs="?", metavar="STATION.TOML")
    source.add_argument("--bundle", type=Path, metavar="DIR")
    source.add_argument(
        "--runtimes",
        type=Path,
        metavar="STATION.TOML|BUNDLE",
        help="every runtime and number of threads instead: which to choose here",
    )
    source.add_argument(
        "--profile",
        type=Path,
        metavar="OUT.json",
        help="this machine's speed instead: for choosing a model elsewhere",
    )
    bench.add_argument("--threads", type=int, choices=range(1, 65), metavar="N", help="1")
    bench.add_argument("--size", type=size, metavar="WxH", help="--bundle: 300x300")
    bench.add_argument("--live", action="store_true", help="frames come while it measures")
    bench.add_argument("--parts", type=part_count, metavar="N")
    bench.add_argument("--disk", type=Path, metavar="DIR", help="--bundle: for its journal")
    bench.add_argument("--json", type=Path, metavar="FILE", help="--runtimes: the table there too")


def _bench(args: argparse.Namespace) -> int:
    from inspector.bench import bench_bundle, bench_station, report
    from inspector.devices.camera_noise import Noise
    from inspector.devices.quiet import quiet_cv2

    source = next((each for each in ("bundle", "runtimes", "profile") if getattr(args, each)), None)
    require_meant(args, "bench", f"--{source}" if source else "STATION.TOML", MEANT)
    for option in ("profile", "json"):
        if getattr(args, option) is not None:
            _require_free(f"--{option}", getattr(args, option))
    quiet_cv2()
    if args.runtimes:
        return _runtimes(args)
    if args.profile:
        return _profile(args)
    parts = args.parts or PARTS
    if args.bundle:
        noise, disk = Noise(*(args.size or SIZE)), args.disk or Path()
        bench = bench_bundle(args.bundle, noise, parts, disk, live=args.live)
    else:
        bench = bench_station(args.settings, parts, live=args.live)
    for line in report(bench):
        print(line)
    return 0


def _require_free(option: str, path: Path) -> None:
    """Other sources are station.toml, and this one is written to. Raises ConfigError."""
    import json

    from inspector.contract.errors import ConfigError
    from inspector.contract.whole import require_place

    require_place(option, path)
    there = path.read_bytes() if path.is_file() else b""
    try:
        json.loads(there or "{}")
    except ValueError:
        raise ConfigError(
            f"{option} {path}: is there and is no JSON, and would be written over"
        ) from None


def _profile(args: argparse.Namespace) -> int:
    from inspector.bench_profile import lines_of, measure_profile

    profile = measure_profile(args.threads or 1)
    args.profile.write_text(profile.model_dump_json(by_alias=True, indent=1) + "\n", "utf-8")
    for line in lines_of(profile):
        print(line)
    return 0


def _runtimes(args: argparse.Namespace) -> int:
    from inspector.bench_runtimes import keep, lines_of, measure_runtimes, subject_of

    subject = subject_of(args.runtimes)
    report = measure_runtimes(subject, args.parts or PARTS_OF_EACH)
    for line in lines_of(report):
        print(line)
    if args.json:
        args.json.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", "utf-8")
    if report.chosen is None:
        return FAILED
    if subject.chosen_file is not None:
        keep(report, subject.chosen_file)
        print(f'\nrecorded in {subject.chosen_file}: [runtime] kind = "auto" takes it')
    return 0
