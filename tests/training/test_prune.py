"""Channels that matter least go, and the narrower network is built again from its timm name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.compress.costs import cost_of
from training.compress.prune import Seen, cut_channels, look, prune, prune_blindly
from training.compress.shape import Shape, load_shaped, read_shape, shape_of, write_shape
from training.models import Network, build
from training.plan_compress import Compress, Prune

SPEC = ImageSpec(width=64, height=64)
NOTHING = Seen({}, {})
Change = Callable[[dict[str, object]], object]


class Tiny(nn.Module):
    """Two convolutions and a head: half of the first one's channels say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            for dead in range(0, 16, 2):
                self.first.weight[dead] = 0.0
                self.first.bias[dead] = 0.0  # type: ignore[index]
                self.second.weight[:, dead] = 0.0

    def get_classifier(self) -> nn.Linear:
        return self.head

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.second(F.relu(self.first(images))))
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


def pictures(count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (count, SPEC.height, SPEC.width, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def small_net(model: str = "test_efficientnet") -> Network:
    torch.manual_seed(0)
    return build(model, "none", 3).eval()


def narrowed() -> tuple[Network, Shape]:
    network = small_net()
    pruned = cut_channels(network, Prune(by="l1", macs=0.5), NOTHING, SPEC, 0.4)
    return pruned, shape_of(pruned, "test_efficientnet", {})


@pytest.mark.parametrize("by", ["l1", "activation", "taylor"])
def test_channels_that_say_nothing_go_first_and_nothing_changes(by: str) -> None:
    torch.manual_seed(1)
    network = Network(Tiny(), (0.5,) * 3, (0.5,) * 3).eval()
    rule = Prune.model_validate({"by": by, "macs": 0.5, "multiple": 4})
    batches = [(pictures(), torch.tensor([0, 1, 0, 1]))]
    seen = look(network, by, batches, F.cross_entropy)
    small = cut_channels(network, rule, seen, SPEC, 0.5)
    first = small.trunk.get_submodule("first")
    assert isinstance(first, nn.Conv2d)
    assert first.out_channels == 8
    if by == "l1":  # the second's channels are all alive: these are other ones in each way
        kept = network.trunk.get_submodule("first").weight[1::2]  # type: ignore[index]
        torch.testing.assert_close(first.weight, kept)
    assert first.weight.abs().sum(dim=(1, 2, 3)).min() > 0
    assert network.trunk.get_submodule("first").weight.shape[0] == 16  # type: ignore[index]


def test_the_mean_size_of_gradients_is_taken_batch_by_batch() -> None:
    network = Network(Tiny(), (0.5,) * 3, (0.5,) * 3).eval()
    one, other = pictures(2), pictures(4)[2:]
    batches = [(one, torch.tensor([0, 1])), (other, torch.tensor([1, 0]))]
    found = look(network, "taylor", batches, F.cross_entropy).gradients["head.weight"]
    each = []
    for images, target in batches:
        loss = F.cross_entropy(network(images), target)
        head = network.trunk.get_submodule("head").weight
        each.append(torch.autograd.grad(loss, head)[0].abs())  # type: ignore[arg-type]
    torch.testing.assert_close(found, (each[0] + each[1]) / 2)


@pytest.mark.parametrize(("of", "across"), [("macs", "layer"), ("parameters", "network")])
def test_a_cut_comes_down_to_its_share_in_whole_multiples(of: str, across: str) -> None:
    network = small_net()
    rule = Prune.model_validate({"by": "l1", of: 0.5, "across": across, "multiple": 2})
    left = cost_of(rule.target[0], network, SPEC, lambda _: 1.0)
    small, now = prune(network, rule, NOTHING, SPEC, left, 0.5)
    assert left(small) == now
    assert 0.4 < now <= 0.5
    widths = shape_of(small, "test_efficientnet", {}).widths
    head = widths.pop("classifier")
    assert head.outputs == 3
    assert head.inputs == small.features_count()
    assert all(width.outputs % 2 == 0 for width in widths.values())
    assert small(pictures()).shape == (4, 3)
    assert small.with_features(pictures())[1].shape == (4, small.features_count())


def test_a_share_that_multiples_do_not_allow_is_refused_with_the_least() -> None:
    network = small_net()
    rule = Prune(by="l1", macs=0.01)
    left = cost_of("macs", network, SPEC, lambda _: 1.0)
    with pytest.raises(ConfigError, match=r"macs 0.01: channels in multiples of 8 leave at least"):
        prune(network, rule, NOTHING, SPEC, left, 0.01)


@pytest.mark.parametrize("model", ["test_efficientnet", "test_convnext"])
def test_a_narrower_network_is_built_again_from_its_name_and_shape(
    model: str, tmp_path: Path
) -> None:
    network = small_net(model)
    small = cut_channels(network, Prune(by="l1", macs=0.5), NOTHING, SPEC, 0.4)
    write_shape(shape_of(small, model, {}), tmp_path)
    shape = read_shape(tmp_path / "shape.json")
    again = load_shaped(shape, small.state_dict(), 3, "shape.json").eval()
    assert torch.equal(again(pictures()), small(pictures()))
    assert again.parameters_count() == small.parameters_count() < network.parameters_count()
    assert again.features_count() == small.features_count()


WRONG: dict[str, tuple[Change, str]] = {
    "no such layer": (
        lambda s: s["widths"].update({"blocks.99": {"inputs": 8, "outputs": 8}}),  # type: ignore[attr-defined]
        "the model has no layer 'blocks.99'",
    ),
    "a layer without channels": (
        lambda s: s["widths"].update({"global_pool": {"inputs": 8, "outputs": 8}}),  # type: ignore[attr-defined]
        "'global_pool' is a SelectAdaptivePool2d; only convolutions",
    ),
    "wider than the model": (
        lambda s: s["widths"]["conv_head"].update(outputs=60_000),  # type: ignore[index]
        "must be at most the model's",
    ),
    "groups that do not divide": (
        lambda s: s["widths"]["conv_head"].update(groups=7),  # type: ignore[index]
        "in whole groups",
    ),
    "another width": (
        lambda s: s["widths"]["conv_head"].update(outputs=8),  # type: ignore[index]
        "is not the shape of these weights",
    ),
    "another model": (lambda s: s.update(model="resnet18"), "the model has no layer"),
    "no model of timm's": (lambda s: s.update(model="resnet18x"), "timm has no such model"),
    "a head of ranks": (
        lambda s: s["ranks"].update(classifier=[1]),  # type: ignore[attr-defined]
        "cannot be a product of ranks",
    ),
    "a key of nobody's": (lambda s: s.update(run="rm"), "run: Extra inputs are not permitted"),
    "no number": (lambda s: s["widths"]["conv_head"].update(outputs=0), "widths.conv_head.outputs"),  # type: ignore[index]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_shape_that_was_changed_is_refused_in_words(name: str, tmp_path: Path) -> None:
    small, shape = narrowed()
    change, words = WRONG[name]
    facts = json.loads(shape.model_dump_json(by_alias=True))
    change(facts)
    path = tmp_path / "shape.json"
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        load_shaped(read_shape(path), small.state_dict(), 3, str(path))


def test_a_file_that_is_no_shape_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "shape.json"
    path.write_bytes(b"\x80\x04cos\nsystem\n")  # how a pickle begins
    with pytest.raises(ConfigError, match="is no shape of a network"):
        read_shape(path)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, r"needs one or more of \[compress.prune\], .low_rank, .sparse"),
        ({"prune": {}}, "needs one of macs, parameters, latency, .*; found: none"),
        ({"prune": {"macs": 0.5, "latency": 0.5}}, "found: macs, latency"),
        ({"prune": {"macs": 0.5, "by": "l2"}}, "'l1', 'activation' or 'taylor'"),
        ({"prune": {"macs": 1.5}}, "less than 1"),
        ({"low_rank": {"energy": 0.9, "macs": 0.5}}, "needs one of energy, macs"),
        ({"sparse": {"sparsity": 1.0}}, "less than 1"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused_with_what_may_be_written(
    section: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Compress.model_validate(section)


@pytest.mark.parametrize("model", ["test_mambaout", "fasternet_t0", "test_nfnet"])
def test_a_network_that_the_library_cannot_cut_is_refused_in_words(model: str) -> None:
    with pytest.raises(ConfigError, match=r"compress\.prune: this student\.model cannot be cut"):
        prune_blindly(small_net(model), Prune(macs=0.5), SPEC)
