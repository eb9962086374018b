"""Several networks of one kind that judge together: the mean of their probabilities.

Each is trained by itself from a seed of its own: another start of the head, other views, another
order, other dropout (deep ensembles, Lakshminarayanan 2017, arXiv:1612.01474). Where a training
ends by chance cancels out, and each keeps what it knows; one picture takes as long as all of them
together.

They are one trunk to everybody else, and one graph: their last feature maps lie upon each other
channel by channel, and each head reads its own channels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.heads import head_names

SEEDS = 2**31
"""A plan's seed is below this, and so is a member's."""


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

    def opinions(self, pooled: Tensor) -> Tensor:
        """members x batch x classes: each one's logits of its own pooled features."""
        each = pooled.chunk(len(self.members), dim=1)
        pairs = zip(self._each(), each, strict=True)
        return torch.stack([member.get_classifier()(own) for member, own in pairs])

    def _each(self) -> list[Any]:
        return list(self.members)

    def _channels(self, maps: Tensor) -> int:
        return 1 if maps.ndim == 4 and self.output_fmt == "NCHW" else maps.ndim - 1


def agreed(opinions: Tensor) -> Tensor:
    """members x batch x classes, logits -> batch x classes: the log of their mean probability."""
    return opinions.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(opinions))


def seed_of(seed: int, member: int) -> int:
    """What a member is trained from, counted from 0; the first has the plan's own."""
    if member == 0:
        return seed
    # not seed + member, which a comparison of several seeds has for a plan of its own
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0]) % SEEDS


def joined(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The state of the network that these networks' states make, in this order."""
    whole = {key: value for key, value in states[0].items() if not key.startswith("trunk.")}
    for i, state in enumerate(states):
        trunk = {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
        whole |= {f"trunk.members.{i}.{key}": value for key, value in trunk.items()}
    return whole
