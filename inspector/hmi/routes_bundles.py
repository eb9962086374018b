"""Bundles: what serves, what could, what a second one would have said; promote and roll back."""

from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi import Path as PathParameter
from pydantic import Field, StringConstraints, model_validator

from inspector.contract.bundle import Manifest, read_bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.inside import read_inside
from inspector.contract.revision import Why
from inspector.contract.strict import Name, Strict
from inspector.delivery.disagreements import read_disagreements, read_tallies
from inspector.delivery.kept import read_kept
from inspector.hmi import bundles
from inspector.hmi.asked import one_of
from inspector.hmi.commanding import SLOW_S, command
from inspector.hmi.follow import Follower
from inspector.hmi.guard import SANDBOX, Guard
from inspector.hmi.recipes import has_own_limits

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

DISAGREEMENTS_SHOWN = 50
Index = Annotated[int, PathParameter(ge=0, lt=10_000)]
ResultId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Serve(Strict):
    """Another bundle shall serve, or the one before."""

    action: Literal["reload", "rollback"]
    bundle: Name | None = None
    why: Why
    confirmed: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.bundle is not None) is not (self.action == "reload"):
            raise ValueError("reload names a bundle, rollback none")
        return self


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    Station = Annotated[Follower, Depends(one_of(parts.followers))]  # noqa: N806 - a type
    _add_bundles(app, Station)
    _add_shadow(app, Station)

    @app.post("/api/stations/{station}/bundles")
    def serve(request: Request, station: Station, asked: Serve) -> Response:
        """Signed, through the station's command door; it verifies and tests the bundle itself."""
        if not asked.confirmed:
            raise HTTPException(409, "confirm")
        if not station.commands:
            raise HTTPException(409, "no_commands")
        said = station.known.message() or {}
        words = {"schema": 2, "action": asked.action, "bundle": asked.bundle}
        before = bundles.as_dict(said.get("bundles")).get("previous")
        row: dict[str, str | None] = {
            "old": str(said.get("bundle")),
            "new": asked.bundle or str(before),
            "why": asked.why,
        }
        return command(parts, request, station, words, row=row, wait_s=SLOW_S)


def _add_bundles(app: FastAPI, station_type: Any) -> None:

    def found(station: station_type, bundle: Name) -> tuple[Path, Manifest]:
        folder = bundles.folder_of(_folder(station), bundle)
        if not folder.is_dir():
            raise HTTPException(404, "no_bundle")
        return folder, bundles.read_manifest(folder)

    Found = Annotated[tuple[Path, Manifest], Depends(found)]  # noqa: N806 - a type

    @app.get("/api/stations/{station}/bundles")
    def all_of(station: station_type) -> dict[str, Any]:
        pinned = False
        with suppress(ConfigError):  # a recipe that cannot be read is said on its own page
            pinned = has_own_limits(station.place, station.known.message() or {})
        return {"bundles": bundles.listed(_folder(station)), "pinned": pinned}

    @app.get("/api/stations/{station}/bundles/{bundle}")
    def one(which: Found) -> dict[str, Any]:
        """Every byte of it is looked at."""
        folder, manifest = which
        wrong: str | None = None
        try:
            read_bundle(folder)
        except BundleError as error:
            wrong = str(error)[:500]
        about = bundles.detail(folder, manifest)
        return {**bundles.summary(folder.name, manifest), **about, "wrong": wrong}

    @app.get("/api/stations/{station}/bundles/{bundle}/report")
    def report(which: Found) -> Response:
        """As the bundle ships it; whatever is in it, it runs no script and loads nothing."""
        try:
            page = read_inside(which[0], bundles.REPORT, bundles.REPORT_BYTES_MAX)
        except (OSError, ValueError):
            raise HTTPException(404, "no_report") from None
        return Response(page, media_type="text/html; charset=utf-8", headers=SANDBOX)

    @app.get("/api/stations/{station}/bundles/{bundle}/golden/{index}")
    def golden(which: Found, index: Index) -> Response:
        try:
            picture = bundles.golden_picture(*which, index)
        except (OSError, ValueError):
            raise HTTPException(404, "no_picture") from None
        return Response(picture, media_type="image/png")


def _add_shadow(app: FastAPI, station_type: Any) -> None:
    @app.get("/api/stations/{station}/shadow")
    def shadow(station: station_type) -> dict[str, Any]:
        """What a second bundle would have said, of the pair that judges now."""
        folder = station.place.shadow
        said = station.known.message() or {}
        second = bundles.as_dict(said.get("shadow"))
        if folder is None or not second:
            return {"shadow": None}
        pair = (said.get("bundle"), second.get("bundle"))
        newest: deque[dict[str, Any]] = deque(maxlen=DISAGREEMENTS_SHOWN)
        counts: Counter[tuple[str, str]] = Counter()
        for each in read_disagreements(folder):
            if (each.serving.bundle, each.shadow.bundle) == pair:
                counts[each.serving.evaluation, each.shadow.evaluation] += 1
                newest.appendleft(each.model_dump(mode="json", by_alias=True))
        judged, others = _counted(folder, pair, said.get("boot"), second)
        return {
            "shadow": second,
            "serving": pair[0],
            "judged": judged,
            "disagreements": others,
            "listed": sum(counts.values()),
            "counts": [[*verdicts, count] for verdicts, count in counts.most_common()],
            "rows": list(newest),
        }

    @app.get("/api/stations/{station}/shadow/pictures/{result_id}")
    def picture(station: station_type, result_id: ResultId) -> Response:
        if station.place.shadow is None:
            raise HTTPException(404, "no_archive")
        try:
            data = read_kept(station.place.shadow, result_id)
        except (OSError, ValueError):
            raise HTTPException(404, "no_picture") from None
        return Response(data, media_type="image/jpeg")


def _counted(
    folder: Path, pair: tuple[Any, Any], boot: Any, now: dict[str, Any]
) -> tuple[int, int]:
    """Parts both have judged, and otherwise. What this boot has counted, the state knows best, as
    long as no other pair judged in it; the file is some seconds behind."""
    tallies = read_tallies(folder)
    before = [each for each in tallies if (each.serving, each.shadow) == pair]
    counts = sum(each.judged for each in before), sum(each.disagreements for each in before)
    if any(each.boot == boot and (each.serving, each.shadow) != pair for each in tallies):
        return counts
    older = [each for each in before if each.boot != boot]
    return (
        sum(each.judged for each in older) + _count(now.get("judged")),
        sum(each.disagreements for each in older) + _count(now.get("disagreements")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _folder(station: Follower) -> Path:
    if station.place.bundles is None:
        raise HTTPException(404, "no_bundles")
    return station.place.bundles
