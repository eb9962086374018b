"""What a student learns from inside its teacher: hints of layers that a plan names.

The last layer before the head is learned from elsewhere (`feature_weight`: it is small, and so
kept for each view). A hint is a whole map, too large to keep: the teacher is asked every time.
Logits first, then pooled features; hints last, since authors who went through them in depth found
they did not need them (Beyer et al. 2022), and only where a measurement says they help.
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.models import Network
from training.plan_networks import Hint

PENULTIMATE = "penultimate"
"""The name of what the head sees, whatever a model calls it."""
NEAR = 6
"""Names offered where one is wrong."""


@contextmanager
def tapped(network: Network, names: Sequence[str], who: str) -> Iterator[dict[str, Tensor]]:
    """What the named layers put out while the context is open, of the last pass through each.

    who: "student" or "teacher", for the error. Raises ConfigError where a layer is not there;
    the names near it are in the text. The hooks are gone afterwards, so that copies of the network
    (its average) do not carry them.
    """
    seen: dict[str, Tensor] = {}
    handles = []
    for name in names:
        if name == PENULTIMATE:
            head = network.trunk.get_classifier()  # type: ignore[operator]
            handles.append(head.register_forward_pre_hook(partial(_keep_input, seen, name)))
        else:
            layer = _named(network.trunk, name, who)
            handles.append(layer.register_forward_hook(partial(_keep_output, seen, name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class Hints(nn.Module):
    """Relative squared error of the student's layers, projected, to the teacher's.

    FitNets (Romero et al., ICLR 2015, eq. 3) for any number of layers: a 1 x 1 convolution brings
    the student's channels to the teacher's and is thrown away with this module; average pooling
    brings both to the smaller of their heights and widths. Divided by the teacher's mean square,
    since layers differ in scale: a student that says nothing costs 1 at any layer.
    forward: what `tapped` saw of student and of teacher -> mean over the hints.
    """

    def __init__(
        self,
        hints: Sequence[Hint],
        student: Network,
        teacher: Network,
        spec: ImageSpec,
        seen: ImageSpec | None = None,
    ) -> None:
        """Both networks are shown one empty picture to learn shapes; they are left as they were.

        seen: by the teacher, where it is not what the student sees.
        Raises ConfigError where a layer is not there, does not run, or gives no map.
        """
        super().__init__()
        if not hints:
            raise ValueError("hints: none given")
        self.hints = tuple(hints)
        ours = _channels(student, [hint.student for hint in hints], "student", spec)
        theirs = _channels(teacher, [hint.teacher for hint in hints], "teacher", seen or spec)
        self.projectors = nn.ModuleList(
            nn.Conv2d(ours[hint.student], theirs[hint.teacher], kernel_size=1) for hint in hints
        )

    def forward(self, student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
        losses = []
        for hint, projector in zip(self.hints, self.projectors, strict=True):
            own, shown = student[hint.student], teacher[hint.teacher].detach()
            size = min(own.shape[2], shown.shape[2]), min(own.shape[3], shown.shape[3])
            # Pooled before it is projected: the same, as both are linear, and cheaper.
            own, shown = (F.adaptive_avg_pool2d(each.float(), size) for each in (own, shown))
            scale = shown.square().mean().clamp_min(torch.finfo(shown.dtype).tiny)
            losses.append(F.mse_loss(projector(own), shown) / scale)
        return torch.stack(losses).mean()


def _keep_output(
    seen: dict[str, Tensor], name: str, _layer: nn.Module, _inputs: object, output: object
) -> None:
    seen[name] = _as_map(output, name)


def _keep_input(seen: dict[str, Tensor], name: str, _layer: nn.Module, inputs: object) -> None:
    first = inputs[0] if isinstance(inputs, tuple) else inputs
    seen[name] = _as_map(first, name)


def _as_map(output: object, name: str) -> Tensor:
    """batch x channels x rows x columns; what is pooled is a map of one cell."""
    if isinstance(output, Tensor) and output.ndim == 2:
        return output[:, :, None, None]
    if isinstance(output, Tensor) and output.ndim == 4:
        return output
    shape = f"a tensor of {output.ndim} axes" if isinstance(output, Tensor) else type(output)
    raise ConfigError(
        f"plan: student.hints: layer {name!r} gives {shape}; a hint needs a convolution's map, "
        f"batch x channels x rows x columns: token models have none"
    )


def _named(trunk: nn.Module, name: str, who: str) -> nn.Module:
    layers: dict[str, nn.Module] = dict(trunk.named_modules())
    if name and name in layers:
        return layers[name]
    names = [each for each in layers if each]
    near = difflib.get_close_matches(name, names, n=NEAR, cutoff=0.5)
    near = near or [each for each, _ in trunk.named_children()]
    raise ConfigError(
        f"plan: student.hints: the {who} has no layer {name!r}; near: {', '.join(near)}; "
        f"what the head sees is {PENULTIMATE!r}"
    )


@torch.no_grad()
def _channels(network: Network, names: Sequence[str], who: str, spec: ImageSpec) -> dict[str, int]:
    if getattr(network.trunk, "output_fmt", "NCHW") != "NCHW":
        raise ConfigError(
            f"plan: student.hints: the {who} keeps channels last; a hint needs a convolution's "
            f"map, batch x channels x rows x columns"
        )
    device = next(network.parameters()).device
    images = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8, device=device)
    training = network.training
    network.eval()
    try:
        with tapped(network, names, who) as seen:
            network.with_features(images)
    finally:
        network.train(training)
    for name in names:
        if name not in seen:
            raise ConfigError(f"plan: student.hints: the {who}'s layer {name!r} never runs")
    return {name: seen[name].shape[1] for name in names}
