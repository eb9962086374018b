"""What a network is shown, as a picture to look at: pictures as they are, and views of them."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.learning import views_of
from training.report_plots import BAD, png, written
from training.sights import Sights
from training.views import View

COLUMNS = 8
CELL_IN = 1.3
SHARE_MIN = 0.05
PAINTED = "painted: some defect"


def views_sheet(sights: Sights, each: int) -> bytes:
    """A PNG: `each` training pictures of every class, one a row, and beside it its first views, as
    the plan's student is shown them (in a teacher's size, where one sees more).
    """
    job, data, _ = sights.own
    material = sights.material
    views = views_of(job.plan, material)
    targets = data.targets[material.train]
    chosen = [material.train[targets == label][:each] for label in range(len(data.labels))]
    rows = np.concatenate(chosen).tolist()
    size = (CELL_IN * COLUMNS, 1.25 * CELL_IN * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    for axes, row in zip(figure.subplots(len(rows), COLUMNS, squeeze=False), rows, strict=True):
        whole = f"{data.labels[data.targets[row]]}, as it is"
        _draw(axes[0], np.asarray(material.drawn[row]), whole)
        for number, place in enumerate(axes[1:]):
            view = views.one(row, number)
            _draw(place, view.image, said(view, data.labels), framed=view.painted)
    return png(figure)


def said(view: View, labels: Sequence[str]) -> str:
    """What the view is taught as."""
    if view.painted:
        return PAINTED
    named = zip(labels, view.target.tolist(), strict=True)
    shares = [(label, share) for label, share in named if share >= SHARE_MIN]
    if len(shares) == 1:
        return shares[0][0]
    return "\n+ ".join(f"{share:.2f} {label}" for label, share in shares)


def _draw(axes: Axes, image: NDArray[np.uint8], title: str, *, framed: bool = False) -> None:
    axes.imshow(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    axes.set_title(written(title), fontsize=7)
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(visible=framed, color=BAD, linewidth=2.5)
