"""The plan's section of tiles."""

from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.image import Border, Pixels, Tiling, Wanted
from training.plan_networks import Positive, Section


class Tiles(Tiling, Section):
    """Train and judge on tiles at the picture's own resolution, labelled by masks or boxes.

    A part's score is its worst tile's, as on the station. A tile of a defect part has the part's
    class where enough of a defect is in it, is good where nothing marked is in it, and is not
    learned from in between.
    """

    width: Pixels
    """Of a tile, in pixels of the original picture."""
    height: Pixels
    """Of a tile, in pixels of the original picture."""
    overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.25
    """Share of a tile that neighbours have in common, at least."""
    border: Border = 0
    """Pixels by which tiles stick out of the picture, black there, in training and on the station:
    what lies at the picture's edge is seen within a tile too. At most half a tile."""
    overview: Wanted = False
    """Show the network each picture whole too, made as small as a tile, under the picture's own
    label: what no tile shows, an area of another finish, can be plain there. It has a third of the
    say in each tile's score."""
    overview_shows: Annotated[int, Field(ge=1, le=1_000, exclude_if=lambda shows: shows == 8)] = 8
    """How often an epoch shows a training picture's overview, in as many views."""
    defect_overlap_at_least: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """How much of a defect makes a tile a defect: the pixels of one marked patch (or box) in the
    tile, as a share of the most that any tile of this size could hold of that patch. So it is a
    share of the defect where that is smaller than a tile, and of the tile where it fills one."""
    good_per_defect: Positive = 3.0
    """Training takes at most this many good tiles for each defect tile, from every picture in
    turn."""
    crops_per_defect: Annotated[int, Field(ge=0, le=1_000)] = 4
    """More tiles of each defect of the training parts, at places drawn from the seed."""
    without_mask: Literal["refuse", "leave_out"] = "refuse"
    """Defect parts of train or validation with neither mask nor box, or an empty mask: an error,
    or not learned from (their tiles could be of either kind)."""

    @property
    def tiling(self) -> Tiling:
        """What the station has to know of it."""
        return Tiling(**{name: getattr(self, name) for name in Tiling.model_fields})
