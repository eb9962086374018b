"""What a network's layers were made into: enough to build it again from its timm name.

A shape is a small JSON beside a state of tensors: no pickled module, so nothing in it is run.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.compress.lowrank import as_product, can_be_product
from training.heads import head_names
from training.models import Network, build

SHAPE = "shape.json"
Count = Annotated[int, Field(ge=1, le=65_536)]


class Width(Strict):
    """Channels of a layer; of a norm, in and out are the same."""

    inputs: Count
    outputs: Count
    groups: Count = 1


class Shape(Strict):
    """Every layer that differs from timm's."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str
    """timm's name."""
    widths: dict[str, Width]
    """Of pruned layers, by timm's names of them."""
    vectors: dict[str, Count] = Field(default_factory=dict)
    """Entries of pruned parameters that belong to no such layer: ConvNeXt's layer scale."""
    ranks: dict[str, Annotated[tuple[Count, ...], Field(min_length=1, max_length=2)]]
    """Of layers that are products: one rank for SVD, two (in, out) for Tucker-2."""


def shape_of(network: Network, model: str, ranks: dict[str, tuple[int, ...]]) -> Shape:
    """What makes timm's network this one. ranks: of its layers that became products.

    Raises ConfigError where a layer that cannot be built again differs.
    """
    widths = {}
    classes = len(network.trunk.get_classifier().weight)  # type: ignore[operator]
    fresh = build(model, "none", classes).trunk
    for name, layer in fresh.named_modules():
        if name in ranks:
            product = network.trunk.get_submodule(name)
            first, last = (_width(product.get_submodule(i)) for i in ("0", str(len(ranks[name]))))
            now = Width(inputs=first.inputs, outputs=last.outputs) if first and last else None
        else:
            now = _width(network.trunk.get_submodule(name))
        if now and now != _width(layer):
            widths[name] = now
    now_of = dict(network.trunk.named_parameters())
    vectors = {
        name: len(now_of[name])
        for name, vector in fresh.named_parameters()
        if _is_vector(fresh, name) and len(now_of[name]) != len(vector)
    }
    shape = Shape(model=model, widths=widths, vectors=vectors, ranks=ranks)
    require_fit(network, rebuilt(shape, classes, "compress"), "compress")
    return shape


def rebuilt(shape: Shape, classes: int, where: str, drop_rate: float = 0.0) -> Network:
    """timm's network in this shape, its weights still to be loaded.

    where: what is wrong if the shape does not fit the model; named in the ConfigError.
    """
    network = build(shape.model, "none", classes, drop_rate)
    for name, width in shape.widths.items():
        layer = _layer(network, name, where)
        was = _width(layer)
        if was is None:
            kinds = "convolutions, linear layers, batch norms and layer norms have channels"
            raise ConfigError(
                f"{where}: widths: {name!r} is a {type(layer).__name__}; only {kinds}"
            )
        _require_narrower(name, was, width, where)
        _narrow(layer, width)
    for name, size in shape.vectors.items():
        parameters = dict(network.trunk.named_parameters())
        if not _is_vector(network.trunk, name) or size > len(parameters[name]):
            raise ConfigError(f"{where}: vectors: {name!r} is no vector of {size} or more entries")
        owner, _, key = name.rpartition(".")
        _renew(network.trunk.get_submodule(owner), key, (size,))
    for name, ranks in shape.ranks.items():
        layer = _layer(network, name, where)
        if name in head_names(network.trunk) or not can_be_product(layer, ranks):
            raise ConfigError(
                f"{where}: ranks: {name!r} ({layer}) cannot be a product of ranks {list(ranks)}"
            )
        network.trunk.set_submodule(name, as_product(layer, ranks))
    network.trunk.head_hidden_size = network.trunk.get_classifier().weight.shape[1]  # type: ignore
    network.lay_out(channels_last=network.channels_last)
    return network


def load_shaped(
    shape: Shape, state: dict[str, Tensor], classes: int, where: str, drop_rate: float = 0.0
) -> Network:
    """The network with its weights. Raises ConfigError where they are of another shape."""
    network = rebuilt(shape, classes, where, drop_rate)
    own = network.state_dict()
    wrong = sorted(own.keys() ^ state.keys())
    wrong += [key for key in own if key in state and own[key].shape != state[key].shape]
    if wrong:
        raise ConfigError(
            f"{where}: is not the shape of these weights: {len(wrong)} tensors do not fit, the "
            f"first: {wrong[0]}"
        )
    network.load_state_dict(state)
    return network


def require_fit(network: Network, other: Network, where: str) -> None:
    """Raises ConfigError where a layer changed that a shape cannot say."""
    mine, theirs = network.state_dict(), other.state_dict()
    for key in sorted(mine.keys() | theirs.keys()):
        if key not in mine or key not in theirs or mine[key].shape != theirs[key].shape:
            raise ConfigError(
                f"{where}: {key.removeprefix('trunk.')!r} would be cut, which is no convolution, "
                f"linear layer, batch norm or layer norm; compress another model"
            )


def write_shape(shape: Shape, folder: Path) -> None:
    text = shape.model_dump_json(by_alias=True, indent=1)
    write_whole(folder / SHAPE, text.encode())


def read_shape(path: Path) -> Shape:
    """Raises ConfigError in words where the file is none, or was changed into nonsense."""
    try:
        return Shape.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is no shape of a network: {error}") from None


def shape_in(folder: Path) -> Shape | None:
    """What the network of a stage was made into; None where it is as timm builds it."""
    return read_shape(folder / SHAPE) if (folder / SHAPE).exists() else None


def _layer(network: Network, name: str, where: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(network.trunk.named_modules())
    if not name or name not in layers:
        raise ConfigError(f"{where}: the model has no layer {name!r}")
    return layers[name]


def _width(layer: nn.Module) -> Width | None:
    """None for a layer without channels of its own."""
    match layer:
        case nn.Conv2d():
            return Width(inputs=layer.in_channels, outputs=layer.out_channels, groups=layer.groups)
        case nn.Linear():
            return Width(inputs=layer.in_features, outputs=layer.out_features)
        case _BatchNorm():
            return Width(inputs=layer.num_features, outputs=layer.num_features)
        case nn.LayerNorm():
            return Width(inputs=layer.normalized_shape[-1], outputs=layer.normalized_shape[-1])
    return None


def _is_vector(trunk: nn.Module, name: str) -> bool:
    """Whether it is a parameter of one axis that belongs to no layer with channels."""
    parameter = dict(trunk.named_parameters()).get(name)
    if parameter is None or parameter.ndim != 1:
        return False
    return _width(trunk.get_submodule(name.rpartition(".")[0])) is None


def _require_narrower(name: str, was: Width, now: Width, where: str) -> None:
    """A shape is no way to ask for more memory than the model needs."""
    divides = now.inputs % now.groups == 0 and now.outputs % now.groups == 0
    if now.inputs > was.inputs or now.outputs > was.outputs or not divides:
        raise ConfigError(
            f"{where}: widths: {name!r} of {now.inputs} to {now.outputs} channels in {now.groups} "
            f"groups: must be at most the model's {was.inputs} to {was.outputs}, in whole groups"
        )


def _narrow(layer: Any, width: Width) -> None:
    """Give a layer its sizes; what is in its tensors comes from a state."""
    match layer:
        case nn.Conv2d():
            layer.in_channels, layer.out_channels = width.inputs, width.outputs
            layer.groups = width.groups
            kernel = layer.weight.shape[2:]
            _renew(layer, "weight", (width.outputs, width.inputs // width.groups, *kernel))
            _renew(layer, "bias", (width.outputs,))
        case nn.Linear():
            layer.in_features, layer.out_features = width.inputs, width.outputs
            _renew(layer, "weight", (width.outputs, width.inputs))
            _renew(layer, "bias", (width.outputs,))
        case _BatchNorm():
            layer.num_features = width.outputs
            for key in ("weight", "bias", "running_mean", "running_var"):
                _renew(layer, key, (width.outputs,))
        case nn.LayerNorm():
            layer.normalized_shape = (width.outputs,)
            for key in ("weight", "bias"):
                _renew(layer, key, (width.outputs,))


def _renew(layer: nn.Module, key: str, size: tuple[int, ...]) -> None:
    old: Tensor | None = getattr(layer, key)
    if old is None:
        return
    fresh = old.new_zeros(size)
    setattr(layer, key, nn.Parameter(fresh) if isinstance(old, nn.Parameter) else fresh)
