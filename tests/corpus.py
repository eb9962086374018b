"""Attestation over whole corpora, the long form of tests/test_commission.py; some minutes.

python -m tests.corpus              ELPV's functional cells, as they are and in a fixture
python -m tests.corpus FOLDER ...   the pictures of any folder, e.g. magnetic_tile/MT_Free
"""

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from inspector.badframes import bad_frames
from inspector.commission import learn
from inspector.contract.bounds import say_rate
from inspector.contract.image import Image
from inspector.devices.camera_replay import read_image
from inspector.station.attest import attest
from tests.test_commission import good_cells, in_fixture

SEEDS = 6
LEARN = 50
SPOIL_EVERY = 24


def measure(name: str, images: list[Image]) -> None:
    """Limits from 50 pictures drawn at random, six times over; the rest are tried."""
    alarms: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    spoilt_count: Counter[str] = Counter()
    tried = 0
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(images))
        rule = learn([images[i] for i in order[:LEARN]]).rule
        rest = [images[i] for i in order[LEARN:]]
        faults = [attest(image, rule).fault for image in rest]
        tried += len(rest)
        alarms.update(fault.split()[0] for fault in faults if fault)
        for image in rest[::SPOIL_EVERY]:
            for fault_name, spoilt in bad_frames(image):
                spoilt_count[fault_name] += 1
                passed[fault_name] += attest(spoilt, rule).fault is None
    print(f"{name}: false alarms {say_rate(alarms.total(), tried)} {dict(alarms)}")  # noqa: T201
    for fault_name, count in spoilt_count.items():
        print(f"  {fault_name:<22} passed {passed[fault_name]}/{count}")  # noqa: T201


def main(files: list[str]) -> None:
    cv2.setNumThreads(1)
    if files:
        measure(f"{len(files)} pictures", [read_image(Path(file), file) for file in files])
    else:
        cells = good_cells(10_000)
        measure("ELPV, as it is", cells)
        measure("ELPV, in a fixture", in_fixture(cells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FILE", help="good pictures; left out: ELPV")
    main(parser.parse_args().files)
