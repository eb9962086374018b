"""What would stop a job hours from now stops it at once, in words."""

from pathlib import Path

from inspector.contract.errors import ConfigError
from training.augment import Augmenter
from training.distill import LabelLoss
from training.features import Hints
from training.handover import read_networks
from training.job import Data
from training.models import build, require_map
from training.plan import Plan
from training.plan_networks import Fit, Peer
from training.soft import require_relations
from training.teaching import HANDED, OLD, fresh


def require_teachable(plan: Plan, data: Data) -> None:
    """What of the plan does not go with the data. Raises ConfigError in words."""
    require_relations(plan.student.method, len(data.labels))
    material = data.material(plan.good)
    for how in (*plan.teachers, plan.student):
        LabelLoss(how, material)


def require_workable(plan: Plan) -> None:
    """What would stop the job hours from now stops it here. Raises ConfigError in words."""
    student = plan.student
    teacher = plan.teacher
    if student.hints and teacher:
        ours, theirs = (
            fresh(how.model_copy(update={"weights": "none"}), 2, plan.seed)
            for how in (student, teacher)
        )
        Hints(student.hints, ours, theirs, plan.image)
    Augmenter(plan.augment, plan.image, plan.seed)
    networks: tuple[Fit | Peer, ...] = (*plan.teachers, *student.peers, student)
    for how in networks:
        weights = "none" if how.weights == "hub" else how.weights
        network = build(how.model, weights, classes=2)
        if how is student:
            require_map(network, plan.image)
    if teacher and teacher.handed:
        read_networks(Path(teacher.handed), "teacher", HANDED)
    if student.old:
        read_networks(Path(student.old.networks), "student", OLD)
    if student.unlabelled and not Path(student.unlabelled.folder).is_dir():
        folder = student.unlabelled.folder
        raise ConfigError(f"plan: student.unlabelled.folder {folder!r}: is no folder")
