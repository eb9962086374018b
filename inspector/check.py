"""`inspector check`: every fault of a station before it starts, not only the first."""

import tomllib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from inspector.check_broker import check_broker
from inspector.check_camera import check_camera
from inspector.check_disk import check_disk
from inspector.check_limits import check_limits
from inspector.check_line import check_line, check_trigger, running
from inspector.contract.bundle import Bundle, Manifest
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.revision import Revision
from inspector.contract.status import ModelStatus
from inspector.contract.strict import Name, read_toml
from inspector.contract.variant import Wanted
from inspector.finding import Finding
from inspector.runtime.choice import resolve
from inspector.runtime.loader import find_bundle, load_runtime, open_runtime
from inspector.runtime.model import ModelRuntime
from inspector.runtime.served import Record, in_turn, served_path
from inspector.runtime.settings import AS_JUDGED
from inspector.runtime.signature import trust_in
from inspector.settings import Settings, read_recipe, read_settings, revisions_of
from inspector.station.recipe import (
    Recipe,
    Tiles,
    WholeFrame,
    region_rule,
)


def check(path: Path) -> Iterator[Finding]:
    """Look at everything `inspector run` needs; what depends on a fault is looked at still."""
    settings: Settings | None = None
    try:
        settings = read_settings(path)
        yield Finding("ok", f"{path}: station {settings.station}")
    except ConfigError as error:
        yield from _faults(error)
    recipe_path, bundles = _paths(path, settings)
    recipe: Recipe | None = None
    revision: Revision | None = None
    if recipe_path:
        try:
            recipe = read_toml(recipe_path, Recipe)
            yield Finding("ok", f"{recipe_path}: recipe {recipe.name}")
            if settings is not None:
                revision = revisions_of(settings).newest(recipe)
                recipe = read_recipe(settings)
                yield from _say_revision(settings, revision)
        except ConfigError as error:
            yield from _faults(error)
    opened: tuple[Bundle, ModelRuntime] | None = None
    if bundles:
        names = _bundles(recipe_path, recipe, settings)
        opened = yield from _check_bundles(bundles, names, settings)
    if opened and recipe:
        yield from _say_other(recipe_path, recipe, opened[0].id)
        recipe = recipe.model_copy(update={"bundle": opened[0].id})
        yield from _check_tiles(opened[0].manifest, recipe)
        yield from check_limits(*opened, recipe, revision)
    if settings and settings.shadow:
        yield from _check_shadow(settings, settings.shadow.bundle)
    if settings is None:
        yield Finding("note", "camera, line, journal, archive and broker: not tried, see above")
        return
    image = yield from check_camera(settings, recipe, opened[1] if opened else None)
    yield from check_trigger(settings, recipe, image)
    yield from check_line(settings)
    yield from check_disk(settings)
    yield from check_broker(settings)


def _faults(error: Exception) -> Iterator[Finding]:
    for line in str(error).splitlines():
        yield Finding("fault", line)


def _paths(path: Path, settings: Settings | None) -> tuple[Path | None, Path | None]:
    """Recipe and bundles, also from settings that have faults elsewhere."""
    if settings:
        return settings.recipe, settings.bundles.folder
    base = path.resolve().parent
    recipe, bundles = _text(path, "recipe"), _text(path, "bundles")
    return base / recipe if recipe else None, base / bundles if bundles else None


def _text(path: Path | None, key: str) -> str | None:
    """One key of a file that may be faulty elsewhere; its faults were already told.

    Of a table, which `bundles` may be, its folder.
    """
    if path is None:
        return None
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    value = data.get(key)
    if isinstance(value, dict):
        value = value.get("folder")
    return value if isinstance(value, str) else None


def _bundles(path: Path | None, recipe: Recipe | None, settings: Settings | None) -> list[str]:
    """As a start has them in turn; of the recipe's file alone where other things are at fault."""
    if recipe is None:
        name = _text(path, "bundle")
        return [name] if name else []
    if settings is None:
        return [recipe.bundle]
    record = Record(served_path(settings.journal.path))
    if running(settings):  # what it has on trial serves
        return list(in_turn(recipe, record.known(recipe)))
    return list(in_turn(recipe, record.recall(recipe, settings.bundles.folder)))


def _check_bundles(
    bundles: Path, names: list[str], settings: Settings | None
) -> Generator[Finding, None, tuple[Bundle, ModelRuntime] | None]:
    """The first that can serve, and its model as it runs here; None where none can."""
    wanted = settings.model_variant if settings else "auto"
    unfit: list[str] = []
    for name in names:
        try:
            trust = trust_in(settings.bundles.public_key) if settings else None
            bundle = find_bundle(bundles, name, trust)
            runtime = open_runtime(bundle, settings.runtime if settings else AS_JUDGED, wanted)
        except BundleError as error:
            unfit.append(str(error))
        except ConfigError as error:
            yield Finding("fault", str(error))
            return None
        else:
            yield from (Finding("note", f"{why}: {name} takes its place") for why in unfit)
            yield from _say_bundle(bundle, runtime, wanted, settings)
            return bundle, runtime
    yield from (Finding("fault", why) for why in unfit)
    return None


def _say_bundle(
    bundle: Bundle, runtime: ModelRuntime, wanted: Wanted, settings: Settings | None
) -> Iterator[Finding]:
    count = len(bundle.manifest.golden)
    yield Finding("ok", f"bundle {bundle.id}: whole, and passes its self-test ({count} pictures)")
    why = resolve(settings.runtime, bundle.id).why if settings else ""
    yield Finding("ok", f"runtime: {runtime.engine}" + (f" ({why})" if why else ""))
    yield _runs(bundle, runtime.running, wanted)
    if bundle.manifest.data.notice:
        yield Finding("note", f"bundle {bundle.id}: {bundle.manifest.data.notice}")


def _check_shadow(settings: Settings, name: Name) -> Iterator[Finding]:
    """The second bundle, which a station opens at its start as it does the first."""
    bundles = settings.bundles
    try:
        trust = trust_in(bundles.public_key)
        load_runtime(bundles.folder, name, settings.runtime, trust, settings.model_variant)
    except (BundleError, ConfigError) as error:
        yield Finding("fault", str(error))
    else:
        yield Finding("ok", f"shadow: bundle {name}: whole, and passes its self-test")


def _runs(bundle: Bundle, running: ModelStatus, wanted: Wanted) -> Finding:
    """Which of its models, and why. A station falls back by itself; its settings are to be true."""
    text = f"bundle {bundle.id}: runs {running.variant}: {running.reason}"
    if not running.fell_back:
        return Finding("ok", text)
    has = wanted in ("auto", *(each.name for each in bundle.manifest.variants))
    return Finding("note" if has else "fault", text)


def _say_revision(settings: Settings, revision: Revision | None) -> Iterator[Finding]:
    """A person who reads the file must know that another holds."""
    if revision is not None:
        text = f"revision {revision.number} of it holds, made by a command: see the audit"
        yield Finding("note", f"{settings.recipe}: {text}")


def _say_other(path: Path | None, recipe: Recipe, serves: str) -> Iterator[Finding]:
    """As above, of a bundle that was loaded since."""
    if serves != recipe.bundle:
        yield Finding("note", f"recipe {path}: names {recipe.bundle}, {serves} serves")


def _check_tiles(manifest: Manifest, recipe: Recipe) -> Iterator[Finding]:
    """Whether the recipe cuts frames as the bundle was trained and certified."""
    try:
        rule = region_rule(recipe, manifest.tiles)
    except ConfigError as error:
        yield Finding("fault", str(error))
        return
    tiles = manifest.tiles
    if tiles is None:
        trained, same = "on whole pictures", isinstance(rule, WholeFrame)
    else:
        trained = f"on tiles of {tiles}, over the whole picture"
        same = isinstance(rule, Tiles) and rule.overlap == tiles.overlap and rule.within is None
    if not same:
        yield Finding(
            "note",
            f"regions: the bundle was trained {trained}; its certificate does not hold for "
            f"the recipe's regions",
        )
