"""The one door to timm: networks that take what the camera gives, weights from anywhere."""

import importlib
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.committee import Committee, agreed
from training.heads import head_names, quiet_head
from training.looks import averaged, seen
from training.plan_export import Tta

_keep: list[torch.library.Library] = []


def _timm() -> ModuleType:
    """Import timm, also where torchvision was built for another torch than ours.

    PyPI's torchvision is built for CUDA: beside a CPU torch its compiled operators do not load,
    and importing it fails at registering `nms`. timm needs only its Python part, so the two
    operators are declared by name; calling them then fails, as it should.
    """
    try:
        return importlib.import_module("timm")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    _keep.append(library)  # the declarations live as long as it does
    return importlib.import_module("timm")


timm = _timm()


class Network(nn.Module):
    """A timm model that takes uint8 pictures: channel order and normalisation are inside.

    forward: batch x height x width x 3 uint8 BGR -> logits, batch x classes.
    """

    mean: Tensor
    std: Tensor
    prior: Tensor | None
    """classes: added to the logits (prior.py); set on what ships, as tta is."""

    def __init__(self, trunk: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels_last = True
        self.tta: Tta = "off"
        """How often it looks at a picture: set on what ships, never on what learns."""
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255.0)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255.0)
        self.register_buffer("prior", None, persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        # The permuted view is channels_last in memory, which is what a CPU convolves quickest.
        rgb = images.permute(0, 3, 1, 2).flip(1)
        if not self.channels_last:
            rgb = rgb.contiguous()
        return (rgb.to(self.mean.dtype) - self.mean) / self.std

    def lay_out(self, *, channels_last: bool) -> None:
        """How maps and weights lie in memory: what is computed stays the same, its speed not."""
        self.channels_last = channels_last
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=layout)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        if self.tta != "off" or self.prior is not None or isinstance(self.trunk, Committee):
            return self.with_features(images)[0]
        logits: Tensor = self.trunk(self.prepare(images))
        return logits

    def with_features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, pooled features the head sees: batch x features) of one pass."""
        return self.answer(self.last_map(images))

    def last_map(self, images: Tensor) -> Tensor:
        """The last feature map: batch x channels x rows x columns, where it is convolutional."""
        shown = self.prepare(seen(images, self.tta))
        features: Tensor = self.trunk.forward_features(shown)  # type: ignore[operator]
        return averaged(features, self.tta)

    def answer(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, pooled features the head sees: batch x features) of the last feature map.

        Of a committee the logits are the log of its mean probability.
        """
        pooled = self.pooled(maps)
        opinions = self._opinions(pooled)
        if self.prior is not None:
            opinions = opinions + self.prior
        return (agreed(opinions) if len(opinions) > 1 else opinions[0]), pooled

    def pooled(self, maps: Tensor) -> Tensor:
        """batch x features: what the head sees of the last feature map."""
        features: Tensor = self.trunk.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        return features

    def logits(self, pooled: Tensor) -> Tensor:
        """batch x classes: what the head itself says of pooled features, a committee on average.

        Without the prior; a probability near one hardly hangs on what is seen, these do.
        """
        return self._opinions(pooled).mean(dim=0)

    def _opinions(self, pooled: Tensor) -> Tensor:
        """heads x batch x classes."""
        if isinstance(self.trunk, Committee):
            return self.trunk.opinions(pooled)
        logits: Tensor = self.trunk.get_classifier()(pooled)  # type: ignore[operator]
        return logits.unsqueeze(0)

    def features_count(self) -> int:
        """How many numbers the head sees."""
        return int(self.trunk.head_hidden_size)  # type: ignore[arg-type]

    def parameters_count(self) -> int:
        return sum(p.numel() for p in self.trunk.parameters())


def build(model: str, weights: str, classes: int, drop_rate: float = 0.0) -> Network:
    """A network with a fresh head. weights: "hub", "none" or a file.

    Raises ConfigError where timm knows no such model or the weights do not fit it.
    """
    if not timm.is_model(model):
        near = timm.list_models(f"*{model.split('_')[0]}*")[:8]
        raise ConfigError(f"plan: model {model!r}: timm has no such model; near: {', '.join(near)}")
    try:
        trunk = timm.create_model(
            model, pretrained=weights == "hub", num_classes=classes, drop_rate=drop_rate
        )
    except RuntimeError as error:
        raise ConfigError(f"plan: model {model!r}: {error}") from None
    except OSError as error:
        raise ConfigError(
            f'plan: model {model!r}: weights = "hub" cannot be had here ({type(error).__name__}); '
            f'give a file, "none", or --weights with a folder of {model}.*.safetensors'
        ) from None
    if weights not in ("hub", "none"):
        _load(trunk, Path(weights))
    quiet_head(trunk)
    config = timm.data.resolve_model_data_config(trunk)
    network = Network(trunk, config["mean"], config["std"])
    try:
        network.lay_out(channels_last=True)
    except RuntimeError as error:  # it convolves in three dimensions
        raise ConfigError(f"plan: model {model!r}: {error}; take another model") from None
    return network


def alike(model: str, members: int, classes: int, drop_rate: float = 0.0) -> Network:
    """So many networks of one model as one, their weights to be loaded."""
    each = [build(model, "none", classes, drop_rate) for _ in range(members)]
    if members > 1:
        each[0].trunk = Committee([network.trunk for network in each])
    return each[0]


def member_of(network: Network, member: int) -> Network:
    """One network of a committee, round and round where it has fewer; a single one is itself."""
    if isinstance(network.trunk, Committee):
        network.trunk = network.trunk.members[member % len(network.trunk.members)]
    return network


def _load(trunk: nn.Module, path: Path) -> None:
    """Take all of a file's weights but the head's. Raises ConfigError where the trunk differs."""
    if not path.is_file():
        raise ConfigError(f"plan: weights {str(path)!r}: there is no such file")
    state = _read(path)
    if state and all(name.startswith(("trunk.", "mean", "std")) for name in state):
        raise ConfigError(
            f"plan: weights {str(path)!r}: is a network that a release left: name its folder "
            f"DIR/networks/BUNDLE as student.old.networks (to go on from its student) or as "
            f"teacher.handed (to take its teacher): what it has learned is kept apart there from "
            f"what it is judged by"
        )
    head = tuple(f"{name}." for name in head_names(trunk))
    own = trunk.state_dict()
    state = {k: v.float() for k, v in state.items() if not k.startswith(head)}
    missing = [k for k in own if k not in state and not k.startswith(head)]
    missing = [k for k in missing if not k.endswith("num_batches_tracked")]
    strange = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if missing or strange:
        raise ConfigError(
            f"plan: weights {str(path)!r}: are of another model: {len(missing)} tensors missing, "
            f"{len(strange)} that do not fit (the first: {(missing + strange)[0]})"
        )
    trunk.load_state_dict(state, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    """Weights by name. Raises ConfigError where the file holds something else, or half of it."""
    where = f"plan: weights {str(path)!r}"
    try:
        state: dict[str, Tensor] = timm.models.load_state_dict(str(path), use_ema=False)
        strange = [name for name, value in state.items() if not isinstance(value, Tensor)]
    except Exception as error:  # noqa: BLE001 - what unpickling meets shares no base class
        what = str(error).partition("\n")[0] or "is cut off"
        raise ConfigError(
            f"{where}: is no file of weights, or is damaged ({type(error).__name__}: {what:.120})"
        ) from None
    if strange:
        raise ConfigError(
            f"{where}: must hold tensors by name, alone or under state_dict or model; "
            f"{strange[0]!r} is something else"
        )
    return state


def classifier_keys(network: Network) -> list[str]:
    """Names of the head's tensors in the network's state, one row a class."""
    heads = tuple(f"trunk.{name}." for name in head_names(network.trunk))
    return [name for name in network.state_dict() if name.startswith(heads)]


def settle_padding(network: Network, spec: ImageSpec) -> int:
    """Fix the padding of "same" convolutions for pictures of this size; returns how many.

    TensorFlow's padding (timm's `tf_` models) depends on the picture's size, so the exported graph
    computes it, and INT8 rounds that sum: a map of 7 rows came out with 6. All pictures here are of
    one size, so the numbers are put in; what the network computes stays the same.
    """
    same: dict[str, nn.Conv2d] = {
        name: module
        for name, module in network.trunk.named_modules()
        if isinstance(module, timm.layers.Conv2dSame)
    }
    sizes: dict[str, tuple[int, int]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            sizes[name] = (inputs[0].shape[2], inputs[0].shape[3])

        return hook

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in same.items()]
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    for name, size in sizes.items():
        conv = same[name]
        around = _same_around(size, conv)
        plain = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        plain.load_state_dict(conv.state_dict())
        network.trunk.set_submodule(name, nn.Sequential(nn.ZeroPad2d(around), plain.eval()))
    return len(sizes)


def _same_around(size: tuple[int, int], conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: output is input / stride, rounded up; the odd pixel goes last."""
    pads: list[int] = []
    for axis in (1, 0):
        reach = (conv.kernel_size[axis] - 1) * conv.dilation[axis] + 1
        steps = math.ceil(size[axis] / conv.stride[axis])
        total = max((steps - 1) * conv.stride[axis] + reach - size[axis], 0)
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


def macs(network: Network, spec: ImageSpec) -> int:
    """Multiply-accumulates of one picture, as torch counts them (convolutions and products)."""
    network.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network(torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8))
    return counter.get_total_flops() // 2
