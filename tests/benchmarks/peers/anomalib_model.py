"""Anomalib's PaDiM with a resnet18 for its OpenVINO inferencer. Run as a file by the peers' Python.

Model hubs are left alone: the backbone's weights are a file (timm's names), or random. What it
costs is the same; how well it tells is not, and the table says which it was.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from loop import load_torch, own_stdout  # type: ignore[import-not-found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("good", type=Path, help="folder of good pictures")
    parser.add_argument("out", type=Path, help="folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=400, help="at most so many")
    parser.add_argument("--weights", type=Path, help="resnet18, safetensors with timm's names")
    arguments = parser.parse_args()
    out = own_stdout()
    load_torch(os.cpu_count() or 1)
    from anomalib.data import Folder
    from anomalib.deploy import ExportType
    from anomalib.engine import Engine
    from anomalib.models import Padim

    size = (arguments.size, arguments.size)
    model = Padim(
        pre_trained=False, pre_processor=Padim.configure_pre_processor(size), evaluator=False
    )
    if arguments.weights:
        from safetensors.torch import load_file

        state = {name: each.float() for name, each in load_file(arguments.weights).items()}
        backbone = model.model.feature_extractor.feature_extractor
        missing = backbone.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise SystemExit(f"{arguments.weights}: lacks {', '.join(missing[:3])}")
    some = arguments.out / "good"
    some.mkdir(parents=True)
    files = sorted(arguments.good.iterdir())
    taken = files[:: max(1, len(files) // arguments.pictures)][: arguments.pictures]
    for each in taken:
        shutil.copy(each, some)
    data = Folder(
        name="good", root=arguments.out, normal_dir="good", num_workers=0,
        train_batch_size=16, eval_batch_size=16, test_split_mode="none",
        val_split_mode="synthetic", seed=0,
    )  # fmt: skip
    engine = Engine(accelerator="cpu", default_root_dir=arguments.out, logger=False)
    engine.fit(model=model, datamodule=data)
    path = engine.export(model, ExportType.OPENVINO, export_root=arguments.out)
    count = sum(each.numel() for each in model.model.feature_extractor.parameters())
    about = {"model": str(path), "parameters": count, "pictures": len(taken)}
    out.write(json.dumps(about) + "\n")


if __name__ == "__main__":
    main()
