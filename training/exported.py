"""What the station runs: a trained network with its temperature, its defect map and its novelty."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.models import Network
from training.novelty import Novelty

SPREAD_MIN = 1e-2
USUAL_SDS = 3.0


class Exported(nn.Module):
    """forward: uint8 batch x height x width x 3 -> (batch x classes[, batch x rows x columns]
    [, batch]): probabilities, the defect map where `learn_map` found one, novelty where it was
    learned.

    Of the map, each cell of the last feature map is weighed by what its channels mean to each
    class: the gradients of the logits, averaged over training pictures (Grad-CAM, Selvaraju 2017,
    but for one set of weights for all pictures; with a linear head behind a mean they are its own
    weights, which is CAM, Zhou 2016). What that says of a cell depends on where it lies (borders
    see padding), so it is held against what the same cell says of good parts: the map is
    sigmoid((margin - centre) / scale) for each cell, with margin = log-odds of defect.

    The head itself on each cell points no better and computes its hidden layer in every cell: a
    mobilenetv4_conv_small took 3.4 times as long with it.
    """

    temperature: Tensor
    weight: Tensor
    bias: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        network: Network,
        good: list[int],
        classes: int,
        temperature: float = 1.0,
        novelty: Novelty | None = None,
    ) -> None:
        """temperature: the picture's logits are divided by it (calibrate.py); the map's are as they
        are, without the network's prior.
        """
        super().__init__()
        self.network = network
        self.novelty = novelty
        self.good = good
        self.bad = [i for i in range(classes) if i not in good]
        self.has_map = False
        self.register_buffer("temperature", torch.tensor([temperature]))
        for name in ("weight", "bias", "centre", "scale"):
            self.register_buffer(name, torch.zeros(1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.network.last_map(images)
        logits, pooled = self.network.answer(features)
        found = [torch.softmax(logits / self.temperature, dim=1)]
        if self.has_map:
            found.append(torch.sigmoid((self._margins(features) - self.centre) / self.scale))
        if self.novelty is not None:
            found.append(self.novelty(pooled))
        return tuple(found)

    def learn_map(self, pictures: Iterable[Tensor], good: Iterable[Tensor]) -> None:
        """Take what each channel means from training pictures, and what is usual from good ones.

        Both in small batches. What is usual in each cell is centre = mean + 3 sd, scale = sd: a
        cell is above 0.5 where it is more suspicious than in nearly every good part. A network
        without a last feature map of cells (attention over patches, say) gets no map.
        """
        weights, biases = [], []
        for images in pictures:
            with torch.no_grad():
                features = self.network.last_map(images)
            if features.ndim != 4:
                return
            logits, weight = self._meaning(features)
            mean = features.mean(dim=(2, 3))
            biases.append(logits - torch.einsum("bcd,bd->bc", weight, mean))
            weights.append(weight)
        self.weight = torch.cat(weights).mean(dim=0)
        self.bias = torch.cat(biases).mean(dim=0)
        with torch.no_grad():
            margins = torch.cat([self._margins(self.network.last_map(some)) for some in good])
        self.scale = margins.std(dim=0).clamp_min(SPREAD_MIN)
        self.centre = margins.mean(dim=0) + USUAL_SDS * self.scale
        self.has_map = True

    def _meaning(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and how each grows with each channel, all cells together: batch x classes x
        channels.
        """
        with torch.enable_grad():
            features = features.detach().requires_grad_(True)
            logits = self.network.logits(self.network.pooled(features))
            each = [
                torch.autograd.grad(logits[:, i].sum(), features, retain_graph=True)[0]
                for i in range(logits.shape[1])
            ]
        return logits.detach(), torch.stack([slope.sum(dim=(2, 3)) for slope in each], dim=1)

    def _margins(self, features: Tensor) -> Tensor:
        # channels last: by this turn compress/quantize.py finds the last feature map in the graph
        cells = features.permute(0, 2, 3, 1)
        logits = torch.matmul(cells, self.weight.t()) + self.bias
        return logits[..., self.bad].logsumexp(dim=3) - logits[..., self.good].logsumexp(dim=3)
