"""Several networks of one kind that judge together: the mean of their answers.

Each is trained by itself from a seed of its own: another start of the head, other views, another
order, other dropout (deep ensembles, Lakshminarayanan 2017, arXiv:1612.01474). Where a training
ends by chance cancels out, and each keeps what it knows; one picture takes as long as all of them
together.

They are one trunk to everybody else, and one graph: their last feature maps lie upon each other
channel by channel, each head reads its own channels, and the logits are averaged. The paper
averages probabilities; the mean of logits leaves one linear head over all channels, so that
temperature, several looks, the defect map and novelty are what they are of a single network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.heads import head_names
from training.models import Network, build
from training.plan_networks import Fit, Student

SEEDS = 2**31


class Committee(nn.Module):
    """What a `Network` asks of its trunk, answered by several timm models of one architecture."""

    def __init__(self, trunks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(trunks)
        first: Any = trunks[0]
        self.output_fmt = getattr(first, "output_fmt", "NCHW")
        self.head_hidden_size = len(trunks) * int(first.head_hidden_size)
        names = [f"members.{i}.{head}" for i, t in enumerate(trunks) for head in head_names(t)]
        self.pretrained_cfg = {"classifier": tuple(names)}

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.forward_features(pictures)
        return self.get_classifier()(self.forward_head(maps, pre_logits=True))

    def forward_features(self, pictures: Tensor) -> Tensor:
        """Each one's last feature map, its channels behind those of the one before."""
        maps = [member.forward_features(pictures) for member in self._each()]
        return torch.cat(maps, dim=self._channels(maps[0]))

    def forward_head(self, maps: Tensor, *, pre_logits: bool) -> Tensor:
        """Each one's pooled features, side by side. pre_logits: always True, as timm has it."""
        if not pre_logits:
            raise ValueError("a committee's head is asked for its features, and they for logits")
        each = maps.chunk(len(self.members), dim=self._channels(maps))
        pairs = zip(self._each(), each, strict=True)
        return torch.cat([member.forward_head(own, pre_logits=True) for member, own in pairs], 1)

    def get_classifier(self) -> "_Answers":
        """From pooled features to the mean of all members' logits."""
        return _Answers([member.get_classifier() for member in self._each()])

    def _each(self) -> list[Any]:
        return list(self.members)

    def _channels(self, maps: Tensor) -> int:
        return 1 if maps.ndim == 4 and self.output_fmt == "NCHW" else maps.ndim - 1


class _Answers:
    """The members' classifiers; no module, since each is in its member already."""

    def __init__(self, classifiers: Sequence[nn.Module]) -> None:
        self._classifiers = classifiers

    def __call__(self, features: Tensor) -> Tensor:
        each = features.chunk(len(self._classifiers), dim=1)
        answers = [judge(own) for judge, own in zip(self._classifiers, each, strict=True)]
        return torch.stack(answers).mean(dim=0)


def seed_of(seed: int, member: int) -> int:
    """What a member is trained from, counted from 0; the first has the plan's own."""
    if member == 0:
        return seed
    # not seed + member, which a comparison of several seeds has for a plan of its own
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0]) % SEEDS


def untrained(how: Fit, classes: int, drop_rate: float = 0.0) -> Network:
    """The network that a plan describes, however many it is made of, its weights to be loaded."""
    return alike(how.model, how.members if isinstance(how, Student) else 1, classes, drop_rate)


def alike(model: str, members: int, classes: int, drop_rate: float = 0.0) -> Network:
    """So many networks of one model as one."""
    each = [build(model, "none", classes, drop_rate) for _ in range(members)]
    first = each[0]
    if members > 1:
        first.trunk = Committee([network.trunk for network in each])
        first.lay_out(channels_last=first.channels_last)
    return first


def joined(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The state of the committee that these networks' states make, in this order."""
    whole = {key: value for key, value in states[0].items() if not key.startswith("trunk.")}
    for i, state in enumerate(states):
        trunk = {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
        whole |= {f"trunk.members.{i}.{key}": value for key, value in trunk.items()}
    return whole


def member_of(network: Network, member: int) -> Network:
    """One network of a committee, round and round where it has fewer; a single one is itself."""
    if isinstance(network.trunk, Committee):
        network.trunk = network.trunk.members[member % len(network.trunk.members)]
    return network
