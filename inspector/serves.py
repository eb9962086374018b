"""Which bundle serves a station's recipe, or would after its next start: for whoever is not it."""

from inspector.contract.bundle import Bundle
from inspector.runtime.loader import find_bundle, open_runtime
from inspector.runtime.revise import for_form
from inspector.runtime.served import serving_bundle
from inspector.runtime.signature import trust_in
from inspector.settings import Settings, held_revision, read_recipe
from inspector.station.judging import Job
from inspector.station.recipe import Recipe


def bundle_named(settings: Settings, bundle_id: str) -> Bundle:
    """One of the station's bundles, verified. Raises BundleError."""
    bundles = settings.bundles
    return find_bundle(bundles.folder, bundle_id, trust_in(bundles.public_key))


def serving(settings: Settings) -> tuple[Recipe, Bundle]:
    """The recipe, and the bundle that serves it. Raises ConfigError, BundleError."""
    recipe = read_recipe(settings)
    return recipe, bundle_named(settings, serving_bundle(settings.journal.path, recipe))


def serving_job(settings: Settings) -> tuple[Job, Bundle]:
    """The same, ready to judge as the station does. Raises ConfigError, BundleError."""
    recipe, bundle = serving(settings)
    runtime = open_runtime(bundle, settings.runtime, settings.model_variant)
    recipe, _ = for_form(recipe, held_revision(settings), runtime)
    return Job(recipe, runtime), bundle
