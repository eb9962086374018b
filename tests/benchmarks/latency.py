"""How well a profile foretells what timm's networks take on the machine it was measured on.

    python -m tests.benchmarks.latency [--profile FILE] [--rounds 20] [--nets DIR]

Measures a profile of one thread (or reads one made here), then networks with random weights, and
compares the estimate with the median of the thread's CPU time, which a busy neighbour disturbs
least. It disturbs that too: on a busy machine the same network differs by a fifth from one minute
to the next.
"""

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from inspector.bench_profile import measure_profile
from inspector.runtime.latency import Profile, estimate_ms
from training.export import open_session
from training.latency import operations_of
from training.models import timm

NETS = (
    *(("mobilenetv3_small_100", 224), ("mobilenetv4_conv_small", 224)),
    *(("mobilenetv4_conv_small", 128), ("resnet18", 224), ("resnet18", 128)),
    *(("efficientnet_lite0", 224), ("efficientnet_lite0", 128), ("lcnet_050", 224)),
    *(("mobilenetv2_100", 224), ("repvgg_a0", 224), ("mobileone_s0", 224)),
)


def export(name: str, side: int, path: Path) -> None:
    network = timm.create_model(name, pretrained=False, num_classes=2).eval()
    network = timm.utils.reparameterize_model(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(1, 3, side, side)
        torch.onnx.export(
            network, (example,), str(path), input_names=["image"], opset_version=17, dynamo=False
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--nets", type=Path, default=Path("work/nets"))
    arguments = parser.parse_args()
    arguments.nets.mkdir(parents=True, exist_ok=True)
    paths = {net: arguments.nets / f"{net[0]}-{net[1]}.onnx" for net in NETS}
    for (name, side), path in paths.items():
        if not path.exists():
            export(name, side, path)
    if arguments.profile:
        profile = Profile.model_validate_json(arguments.profile.read_bytes())
    else:
        profile = measure_profile(1)
    errors = []
    for (name, side), path in paths.items():
        session = open_session(path)
        image = np.random.default_rng(0).normal(0.0, 1.0, (1, 3, side, side)).astype(np.float32)
        took_ms = []
        for _ in range(arguments.rounds + 3):
            start = time.thread_time()
            session.run(None, {"image": image})
            took_ms.append(1_000 * (time.thread_time() - start))
        took, estimated = statistics.median(took_ms[3:]), estimate_ms(operations_of(path), profile)
        errors.append(abs(estimated / took - 1.0))
        sys.stdout.write(f"{name:<24} {side:>4} px: took {took:6.2f} ms, ")
        sys.stdout.write(f"estimated {estimated:6.2f}, {100 * (estimated / took - 1):+4.0f} %\n")
    sys.stdout.write(f"median error {100 * statistics.median(errors):.0f} %, ")
    sys.stdout.write(f"worst {100 * max(errors):.0f} %\n")


if __name__ == "__main__":
    main()
