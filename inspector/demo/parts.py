"""The parts of the demo: pictures with known labels, and a station's folder around them."""

import csv
import random
import secrets
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

from inspector.contract.bundle import Bundle, read_bundle
from inspector.contract.errors import ConfigError

HERE = Path(__file__).parent
HOLDOUT = HERE / "holdout.csv"
SHIPPED = HERE / "bundle" / "elpv-9b49b7960e37"
"""By name: an old build folder of setuptools may install an older one beside it."""
PICTURES = "elpv_dataset"
STATION = "demo"
PAGES_PORT = 8_080


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture, relative to the pictures' folder, and what an expert said of it."""

    image: str
    label: str

    @property
    def part_id(self) -> str:
        """What the replay camera calls a part: its file's name without ending."""
        return Path(self.image).stem


@dataclass(frozen=True, slots=True)
class Parts:
    source: str
    """What they are, for the screen."""
    folder: Path
    pictures: tuple[Labelled, ...]

    def label_of(self) -> dict[str, str]:
        return {picture.part_id: picture.label for picture in self.pictures}

    def names(self, count: int) -> list[str]:
        """The first `count` names in the demo's order, again from the first where they end."""
        return list(islice(cycle(picture.image for picture in self.pictures), count))


@dataclass(frozen=True, slots=True)
class Broker:
    host: str
    port: int
    protocol: str


def read_parts(list_file: Path | None, images: Path | None, bundle: Bundle) -> Parts:
    """The labelled pictures, in a mixed order that is the same every time.

    list_file: CSV with the columns image and label; left out, the pictures no model has seen.
    images: the folder the names start from; left out, the dataset's for the shipped list, the
    list's own for another. Raises ConfigError for what cannot be shown or counted.
    """
    folder = images or (list_file.parent if list_file else dataset_folder())
    path = list_file or HOLDOUT
    pictures = _read_list(path)
    for picture in pictures:
        if not (folder / picture.image).is_file():
            raise ConfigError(f"{path}: {picture.image} is not in {folder}: use --images DIR")
    if len({picture.part_id for picture in pictures}) < len(pictures):
        raise ConfigError(f"{path}: two pictures have the same name: their parts would too")
    if not {picture.label for picture in pictures} & set(bundle.manifest.good):
        raise ConfigError(
            f"{path}: no label is one the bundle lets pass ({', '.join(bundle.manifest.good)})"
        )
    random.Random(1).shuffle(pictures)  # noqa: S311 - a list sorted by label is dull to watch
    source = str(path) if list_file else "elpv-dataset the model has not seen"
    return Parts(source, folder.resolve(), tuple(pictures))


def dataset_folder() -> Path:
    """Where elpv-dataset has its pictures; it is not imported, that takes longer than the demo."""
    spec = find_spec(PICTURES)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the demo's pictures are not installed: pip install 'inspector[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def verified_bundle(folder: Path) -> Bundle:
    """Raises BundleError for a folder that is not one, or was changed."""
    return read_bundle(folder.resolve())


def write_station(
    folder: Path, parts: Parts, bundle: Bundle, broker: Broker, root: str, *, count: int | None,
    rate: float,
) -> Path:  # fmt: skip
    """Everything `inspector run` needs; returns the path of station.toml.

    count: so many parts, None to go round for ever. rate: parts a second.
    """
    names = parts.names(count if count is not None else len(parts.pictures))
    (folder / "parts.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "recipe.toml").write_text(
        f'name = "demo"\nbundle = "{bundle.id}"\ndeadline_ms = 1000\n', encoding="utf-8"
    )
    path = folder / "station.toml"
    path.write_text(
        f"""\
station = "{STATION}"
topic_root = "{root}"
recipe = "recipe.toml"
bundles = {_text(bundle.folder.parent)}

[camera]
kind = "replay"
folder = {_text(parts.folder)}
list_file = "parts.txt"
loop = {str(count is None).lower()}

[trigger]
kind = "interval"
period_ms = {max(1, round(1000 / rate))}

[journal]
path = "journal.db"

[mqtt]
host = {_text(broker.host)}
port = {broker.port}
protocol = "{broker.protocol}"
plaintext_beyond_loopback = true # a demo: nothing secret travels

[archive]
folder = "images"
""",
        encoding="utf-8",
    )
    return path


def write_pages(folder: Path) -> Path | None:
    """hmi.toml beside station.toml, whose command door gets the key; None without the extra."""
    if not all(find_spec(library) for library in ("fastapi", "uvicorn")):
        return None
    key = folder / "pages.hmac"
    key.touch(mode=0o600)
    key.write_text(f"{secrets.token_hex(32)}\n", encoding="ascii")
    with (folder / "station.toml").open("a", encoding="utf-8") as station:
        station.write(
            '\n[[commands.keys]]\nname = "pages"\nfile = "pages.hmac"\n'
            'actions = ["select", "start", "single", "stop", "reset", "halt", "image"'
            ', "reload", "rollback", "recipe"]\n'
        )
    path = folder / "hmi.toml"
    path.write_text(
        f"""\
state_folder = "pages"

[listen]
port = {_port()}

[commands]
sender = "pages"
key_file = "pages.hmac"

[[stations]]
settings = "station.toml"
""",
        encoding="utf-8",
    )
    return path


def _port() -> int:
    """8080, or another where somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PAGES_PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_list(path: Path) -> list[Labelled]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"image", "label"} <= set(rows.fieldnames or ()):
                raise ConfigError(f"{path}: needs the columns image and label")
            pictures = [Labelled(row["image"], row["label"]) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not pictures:
        raise ConfigError(f"{path}: names no picture")
    return pictures


def _text(value: Path | str) -> str:
    """A TOML string."""
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
