"""One picture looked at several times, and the answers averaged: test-time augmentation.

Mirrored and turned copies are views that training drew of other pictures; the mean over them is
steadier than one of them (Krizhevsky 2012, section 4.1, over mirrored crops; Shanmugam 2021 on
when it helps). The last feature maps are laid upon each other, each mirrored back, before the head
sees them: with a linear head behind a mean that is the mean of the logits, and map and novelty
come of the same. It stays one graph with one set of weights, which takes as many times as long as
there are looks.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from training.plan_export import Tta


class Look(NamedTuple):
    """Turned first, mirrored then."""

    transposed: bool = False
    """Rows and columns change places; with the mirrors that makes quarter turns."""
    mirrored: tuple[int, ...] = ()
    """Along which sides: 0 rows (up and down), 1 columns (left and right)."""


_MIRRORED = (Look(), Look(mirrored=(1,)), Look(mirrored=(0,)), Look(mirrored=(0, 1)))
LOOKS: dict[Tta, tuple[Look, ...]] = {
    "off": (Look(),),
    "left_right": _MIRRORED[:2],
    "flips": _MIRRORED,
    "turns": (*_MIRRORED, *(look._replace(transposed=True) for look in _MIRRORED)),
}
_ALL = frozenset({"left and right", "up and down", "turned"})
_TEACHES: dict[str, frozenset[str]] = {
    "HorizontalFlip": frozenset({"left and right"}),
    "VerticalFlip": frozenset({"up and down"}),
    "RandomRotate90": frozenset({"turned"}),
    "Transpose": frozenset({"turned"}),
    "D4": _ALL,
    "SquareSymmetry": _ALL,
}


def named(tta: Tta) -> tuple[Tta, ...]:
    """What a stage's name says of it: nothing where there is none, as before it could be."""
    return () if tta == "off" else (tta,)


def seen(pictures: Tensor, tta: Tta) -> Tensor:
    """batch x height x width x channels -> looks * batch of them, look by look."""
    if tta == "off":
        return pictures
    copies = []
    for look in LOOKS[tta]:
        turned = pictures.transpose(1, 2) if look.transposed else pictures
        copies.append(_mirrored(turned, look, first=1))
    return torch.cat(copies)


def averaged(maps: Tensor, tta: Tta) -> Tensor:
    """looks * batch x channels x rows x columns, as `seen` has them -> batch x ..., each look
    brought back to where the picture lies, and their mean.
    """
    if tta == "off":
        return maps
    looks = LOOKS[tta]
    # whole numbers, so that the exported graph's shapes are known but for the batch
    size = [int(side) for side in maps.shape[1:]]
    each = maps.reshape(len(looks), -1, *size)
    back = []
    for i, look in enumerate(looks):
        upright = _mirrored(each[i], look, first=2)
        back.append(upright.transpose(2, 3) if look.transposed else upright)
    return torch.stack(back).mean(dim=0)


def _mirrored(pictures: Tensor, look: Look, first: int) -> Tensor:
    """first: the dimension of the rows.

    By an index, not by `flip`: ONNX cannot infer what size a slice with a negative step leaves.
    """
    for side in look.mirrored:
        backwards = torch.arange(int(pictures.shape[first + side]) - 1, -1, -1)
        pictures = pictures.index_select(first + side, backwards.to(pictures.device))
    return pictures


def never_shown(tta: Tta, augmentations: Iterable[str]) -> str:
    """What of these looks training draws no views of, in words; empty where it draws all."""
    taught = frozenset[str]().union(*(_TEACHES.get(name, frozenset()) for name in augmentations))
    looks = LOOKS[tta]
    asked = {
        "left and right": any(1 in look.mirrored for look in looks),
        "up and down": any(0 in look.mirrored for look in looks),
        "turned": any(look.transposed for look in looks),
    }
    return ", ".join(name for name, wanted in asked.items() if wanted and name not in taught)
