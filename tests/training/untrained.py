"""Networks that have learned nothing, and pictures of nothing, for tests of what is computed."""

import numpy as np
import torch

from inspector.contract.image import ImageSpec
from training.models import Network, build

SPEC = ImageSpec(width=64, height=64)


def pictures(n: int) -> torch.Tensor:
    made = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), np.uint8)
    return torch.from_numpy(made)


def opinionated(model: str, seed: int = 1) -> Network:
    """Untrained; its head has opinions."""
    torch.manual_seed(seed)
    network = build(model, "none", 3).eval()
    with torch.no_grad():
        network.trunk.get_classifier().weight.normal_()  # type: ignore[operator]
    return network
