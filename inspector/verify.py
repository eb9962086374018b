"""`inspector bundle show` and `verify`: what a bundle is, and whether this machine can run it."""

from collections.abc import Generator
from pathlib import Path

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError
from inspector.contract.variant import FLOAT
from inspector.runtime.cpu import Cpu, read_cpu
from inspector.runtime.loader import find_bundle, unfit_forms
from inspector.runtime.signature import trust_in
from inspector.runtime.variants import choose_variant, unmet


def would_run(bundle: Bundle, cpu: Cpu) -> str:
    """What a station with this CPU takes of it, before any self-test."""
    variant, why, _ = choose_variant(bundle.manifest.variants, cpu)
    return f"a station on this machine runs {variant.name if variant else FLOAT}: {why}"


def verify(folder: Path, key: Path | None) -> Generator[str, None, bool]:
    """Every byte, and every model on this machine; returns whether all that is for it is fit.

    Raises BundleError where the bundle is refused, ConfigError where the key cannot be used.
    """
    folder, cpu = folder.resolve(), read_cpu()
    bundle = find_bundle(folder.parent, folder.name, trust_in(key))
    lacks: dict[str, str] = {each.name: unmet(each.needs, cpu) for each in bundle.manifest.variants}
    fit = True
    for name, fault in unfit_forms(bundle):
        if name == FLOAT:
            if fault:
                raise BundleError(fault)
            count, by = len(bundle.manifest.golden), f", signed by {key}" if key else ""
            yield f"{bundle.id}: whole{by}, and passes its self-test ({count} pictures)"
            continue
        lack = lacks[name] and f" ({lacks[name]})"
        yield f"{name}{lack}: {fault or 'passes it too'}"
        fit = fit and (fault is None or bool(lack))
    yield would_run(bundle, cpu)
    return fit
