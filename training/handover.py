"""Trained networks handed on: to the next release of a line, or to other products.

A release leaves `networks/BUNDLE/` beside its bundles: student.safetensors, teacher.safetensors
where the plan has a teacher, compressed.safetensors where it compresses its student (student is as
it was before), and networks.json. A later plan names that folder: `teacher.handed`
takes the teacher as it is, and `student.old` starts from the running student and keeps it as a
second teacher, so that what it knew is not forgotten (learning without forgetting, Li and Hoiem
2016).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.compress.shape import Shape, load_shaped
from training.models import Network, alike, classifier_keys
from training.plan import SplitRule
from training.plan_networks import Fit, Imbalance, Sampling, absent

FACTS = "networks.json"
OLD = "student.old.networks"
HANDED = "teacher.handed"
Role = Literal["teacher", "student"]
_NEAR_AT = SplitRule().near_duplicate_at


class Networks(Strict):
    """What a folder of handed-on networks holds."""

    labels: tuple[str, ...]
    """The classes, in the order of both heads."""
    image: ImageSpec
    teacher_image: ImageSpec | None = None
    """What the teacher was trained on, where that is of another size; None: `image`."""
    teacher: str | None
    """timm model of teacher.safetensors; None where the student learned without one."""
    teacher_imbalance: Annotated[Imbalance | None, Field(exclude_if=absent)] = None
    """How it was taught to see rare classes, which decides whether its answers are without the
    prior; None: an older program did not say."""
    teacher_sampling: Annotated[Sampling | None, Field(exclude_if=absent)] = None
    student: str
    student_leaves_prior_out: Annotated[bool | None, Field(exclude_if=absent)] = None
    """Whether its answers are as if every class came equally often; None: it learned answers of
    both kinds, or an older program did not say."""
    members: Annotated[int, Field(ge=1, exclude_if=lambda members: members == 1)] = 1
    """Networks that student.safetensors holds, under `trunk.members.N` where there are several."""
    near_duplicate_at: Annotated[float, Field(exclude_if=lambda at: at == _NEAR_AT)] = _NEAR_AT
    """The plan's split.near_duplicate_at: what was no twin to the release is none to who asks later
    what it has learned."""
    compressed: Shape | None = None
    """What the student was made into, for the weights of compressed.safetensors; None where it has
    timm's shape: not compressed, or only sparse."""


def write_networks(
    folder: Path, networks: Networks, states: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Leave the networks, by role; the facts are written last: a half-written folder is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        draft = folder / f"{name}.part"
        save_file({k: v.contiguous() for k, v in state.items()}, draft)
        draft.replace(folder / f"{name}.safetensors")
    write_whole(folder / FACTS, networks.model_dump_json(indent=1).encode())


def read_networks(folder: Path, role: Role, key: str) -> Networks:
    """The facts of a folder that a plan's `key` names for its teacher, or for its student.

    Raises ConfigError in words.
    """
    try:
        facts = Networks.model_validate(json.loads((folder / FACTS).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"plan: {key} {str(folder)!r}: is no folder of networks that a release left "
            f"(DIR/networks/BUNDLE): {error}"
        ) from None
    if role == "teacher" and facts.teacher is None:
        raise ConfigError(
            f"plan: {key} {str(folder)!r}: holds no teacher: its student learned without one"
        )
    return facts


def compressed_network(folder: Path) -> Network:
    """The compressed student that a release left, built from timm's name and its shape.

    Raises ConfigError where the folder holds none, or shape and weights do not go together.
    """
    facts, weights = read_networks(folder, "student", "networks"), folder / "compressed.safetensors"
    if facts.compressed is None or not weights.is_file():
        raise ConfigError(f"{folder}: holds no compressed student of another shape")
    where = f"{folder / FACTS}: compressed"
    return load_shaped(facts.compressed, load_file(weights), len(facts.labels), where).eval()


def network_for(
    folder: Path, role: Role, how: Fit, labels: tuple[str, ...], key: str
) -> tuple[Network, list[int]]:
    """A handed-on network with a head for `labels`, and which of them it already knows.

    Rows of the head are moved by class name; those of a class it never met are drawn afresh from
    torch's seed. Raises ConfigError where the plan wants another model, or the weights are not
    those of the folder's facts.
    """
    facts = read_networks(folder, role, key)
    model = facts.teacher if role == "teacher" else facts.student
    if model != how.model:
        raise ConfigError(
            f"plan: {key} {str(folder)!r}: holds a {model}, the plan's is {how.model}"
        )
    state: dict[str, Any] = _weights(folder / f"{role}.safetensors", key)
    members = facts.members if role == "student" else 1
    network = alike(how.model, members, len(labels), how.drop_rate)
    known = [i for i, label in enumerate(labels) if label in facts.labels]
    own = network.state_dict()
    for name in classifier_keys(network):
        rows = torch.clone(own[name])
        for i in known:
            rows[i] = state[name][facts.labels.index(labels[i])]
        state[name] = rows
    network.load_state_dict(state)
    return network, known


def _weights(file: Path, key: str) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"plan: {key} {str(file.parent)!r}: {file.name} is not there, or is damaged: {error}"
        ) from None
