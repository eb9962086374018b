"""What would stop a job hours from now stops it at once, in words."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.augment import Augmenter
from training.compress import prune
from training.compress.lowrank import lower
from training.compress.shape import shape_of
from training.distill import LabelLoss
from training.export import require_exportable
from training.exported import Exported
from training.features import Hints
from training.handover import HANDED, OLD, Role, network_for, read_networks
from training.job import Data
from training.learning import fresh
from training.models import Network, build
from training.plan import Plan
from training.plan_networks import Fit, Hint, Peer, Teacher
from training.prior import require_restorable
from training.reparam import reparameterised
from training.sights import resolved
from training.soft import require_relations


def require_teachable(plan: Plan, data: Data) -> None:
    """What of the plan does not go with the data. Raises ConfigError in words."""
    require_relations(plan.student.method, len(data.labels))
    material = data.material(plan)
    for how in (*plan.teachers, plan.student):
        LabelLoss(how, material)


def _require_layers_of_its_own(hints: Sequence[Hint], network: Network, image: ImageSpec) -> None:
    """From the second generation on the student before is the teacher."""
    try:
        Hints(hints, network, network, image)
    except ConfigError as error:
        raise ConfigError(
            f"{error} (student.generations above 1: the second generation's teacher is the student "
            f"of the first, and a hint names layers of both; leave one of the two out)"
        ) from None


def require_workable(plan: Plan) -> None:
    """What would stop the job hours from now stops it here. Raises ConfigError in words."""
    plan = resolved(plan)
    require_restorable(plan)
    student, teacher = plan.student, plan.teacher
    if student.hints and teacher:
        ours, theirs = (
            fresh(how.model_copy(update={"weights": "none"}), 2, plan.seed)
            for how in (student, teacher)
        )
        Hints(student.hints, ours, theirs, plan.image, plan.seen_by(teacher))
        if student.generations > 1:
            _require_layers_of_its_own(student.hints, ours, plan.image)
    for image in {plan.image, *map(plan.seen_by, plan.teachers)}:
        Augmenter(plan.augment, image, plan.seed)
    networks: tuple[Fit | Peer, ...] = (*plan.teachers, *student.peers, student)
    for how in networks:
        _require_network(plan, how)
    if teacher and teacher.handed:
        _require_handed_on(Path(teacher.handed), "teacher", teacher, HANDED)
    if student.old:
        _require_handed_on(Path(student.old.networks), "student", student, OLD)
    if student.unlabelled and not Path(student.unlabelled.folder).is_dir():
        folder = student.unlabelled.folder
        raise ConfigError(f"plan: student.unlabelled.folder {folder!r}: is no folder")


def _require_network(plan: Plan, how: Fit | Peer) -> None:
    weights = "none" if how.weights == "hub" else how.weights
    network = build(how.model, weights, classes=2)
    if isinstance(how, Teacher):
        require_shipped(network, plan.seen_by(how), f"a teacher's model {how.model!r}")
    elif isinstance(how, Peer):
        _require_asked(network, plan.image, f"a peer's model {how.model!r}")
    else:
        require_shipped(network, plan.image, f"student.model {how.model!r}")
        require_compressible(plan, network)
        require_looks(plan, network)


def _require_handed_on(folder: Path, role: Role, how: Fit, key: str) -> None:
    network_for(folder, role, how, read_networks(folder, role, key).labels, key)


def _require_asked(network: Network, image: ImageSpec, key: str) -> None:
    """Raises ConfigError where a network that is thrown away could not learn along."""
    blank = torch.zeros(1, image.height, image.width, 3, dtype=torch.uint8)
    try:
        with torch.no_grad():
            network.eval().with_features(blank)
    except (AssertionError, AttributeError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"plan: {key} cannot be asked about pictures of {image.width}x{image.height}: {error}; "
            f"take another model"
        ) from None


def require_shipped(network: Network, image: ImageSpec, key: str) -> None:
    """Raises ConfigError where a network cannot be judged as a station would run it."""
    require_taken(network, image, key)
    require_exportable(Exported(network, [0], classes=2), image, key)


def require_taken(network: Network, image: ImageSpec, key: str) -> None:
    """Raises ConfigError where a network does not take pictures of this size, or what ships could
    not be made of it: there the head is asked for itself, of what it sees of the last feature map.
    """
    blank = torch.zeros(1, image.height, image.width, 3, dtype=torch.uint8)
    try:
        with torch.no_grad():
            network.eval()(blank)
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"plan: {key} does not take pictures of {image.width}x{image.height}: {error}"
        ) from None
    try:
        same = _ships_as_trained(network, blank)
    except (AttributeError, RuntimeError, TypeError):  # two heads, or one that is a convolution
        same = False
    if not same:
        raise ConfigError(
            f"plan: {key}: its classes are not said by one head on pooled features, as those of "
            f"models with two heads (for distillation), or with a norm in the head, are not; take "
            f"another model"
        )


@torch.no_grad()
def _ships_as_trained(network: Network, blank: Tensor) -> bool:
    """Whether what is exported answers as what was trained.

    Norms are moved first: a fresh one changes nothing, wherever it stands.
    """
    trained = copy.deepcopy(network).eval()
    for module in trained.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.add_(0.1)
    whole = trained(blank)
    return torch.allclose(
        reparameterised(trained).with_features(blank)[0], whole, rtol=1e-3, atol=1e-4
    )


def require_looks(plan: Plan, network: Network) -> None:
    """Raises ConfigError where what several looks find cannot be laid upon each other."""
    if plan.export.tta == "off":
        return
    blank = torch.zeros(1, plan.image.height, plan.image.width, 3, dtype=torch.uint8)
    with torch.no_grad():
        maps = network.eval().last_map(blank)
    if maps.ndim != 4:
        raise ConfigError(
            f"plan: export.tta {plan.export.tta!r}: student.model {plan.student.model!r} has no "
            f'last feature map of cells that could be mirrored back; write tta = "off", or take a '
            f"convolutional model"
        )


def require_compressible(plan: Plan, network: Network) -> None:
    """Whether the plan's cuts can be made in its student. Raises ConfigError in words.

    network: the student, however its weights are: how far channels and ranks in multiples come
    down does not hang on them but for a little, energies and times do.
    """
    rule = plan.compress
    if rule is None:
        return
    branched = next((n for n, m in network.named_modules() if hasattr(m, "reparameterize")), None)
    if branched:
        raise ConfigError(
            f"plan: compress: student.model {plan.student.model!r} folds branches into one layer "
            f"at export ({branched}), which cut layers cannot be; compress another model"
        )
    if rule.prune:
        prune.require_library()
        network = prune.prune_blindly(network, rule.prune, plan.image)
    ranks: dict[str, tuple[int, ...]] = {}
    if rule.low_rank and rule.low_rank.macs:
        network, ranks = lower(network, rule.low_rank, plan.image)
    shape_of(network, plan.student.model, ranks)
