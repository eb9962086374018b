"""Ultralytics' classifier of two classes as ONNX, by its own exporter. Run as a file by the peers'
Python. Without --data its weights are random: what it costs is the same.
"""

import argparse
import os
import shutil
from pathlib import Path

from loop import load_torch, own_stdout  # type: ignore[import-not-found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", help="as yolo11n-cls")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--data", type=Path, help="a folder with train/ and val/, a folder a class")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    out = own_stdout()
    load_torch(os.cpu_count() or 1)
    import ultralytics

    folder = arguments.out.resolve().parent
    configured = Path(ultralytics.__file__).parent / "cfg" / "models"
    plain = arguments.name.replace("n-cls", "-cls")
    text = next(configured.rglob(f"{plain}.yaml")).read_text(encoding="utf-8")
    own = folder / f"{arguments.name}.yaml"  # its scale is read from the file's name
    own.write_text(text.replace("nc: 1000", "nc: 2"), encoding="utf-8")
    model = ultralytics.YOLO(str(own))
    if arguments.data:
        model.train(
            data=str(arguments.data.resolve()), epochs=arguments.epochs, imgsz=arguments.size,
            device="cpu", workers=0, project=str(folder), name="run", exist_ok=True, plots=False,
            val=False, verbose=False, seed=0,
        )  # fmt: skip
        model = ultralytics.YOLO(str(folder / "run" / "weights" / "last.pt"))
    else:
        model.model.names = {0: "bad", 1: "good"}
        model.save(str(folder / f"{arguments.name}.pt"))
        model = ultralytics.YOLO(str(folder / f"{arguments.name}.pt"))
    count = sum(each.numel() for each in model.model.parameters())
    made = model.export(format="onnx", imgsz=arguments.size, opset=17, simplify=True, dynamic=True)
    shutil.move(made, arguments.out)
    out.write(f'{{"parameters": {count}, "names": "{model.names}"}}\n')


if __name__ == "__main__":
    main()
