"""Which of a bundle's models this machine is made for."""

from collections.abc import Sequence
from typing import NamedTuple

from inspector.contract.variant import CPU_PROVIDER, FLOAT, Needs, Variant, Wanted
from inspector.runtime.cpu import Cpu


class Choice(NamedTuple):
    variant: Variant | None
    """None: the bundle's own model."""
    why: str
    missing: bool = False
    """The settings name one that the bundle has not."""


def choose_variant(
    variants: Sequence[Variant], cpu: Cpu, wanted: Wanted = "auto", provider: str = CPU_PROVIDER
) -> Choice:
    """What the settings name, else the first that this CPU is made for, else float.

    A named one is taken though the CPU does not show its flags (a virtual machine may hide them):
    the golden self-test has the last word. One that is not there is no reason to refuse a bundle: a
    rollback to an older one must not fail for it.
    """
    if wanted == FLOAT:
        return Choice(None, 'model_variant is "float"')
    if wanted != "auto":
        for variant in variants:
            if variant.name == wanted:
                fault = unmet(variant.needs, cpu, provider)
                but = fault and f", but {fault}"
                return Choice(variant, f'model_variant is "{wanted}"{but}')
        there = ", ".join(each.name for each in variants)
        return Choice(
            None,
            f"model_variant asks for {wanted}, which the bundle has not; there "
            f"{'is float alone' if not variants else f'are float, {there}'}",
            missing=True,
        )
    if not variants:
        return Choice(None, "the bundle has no other")
    faults = []
    for variant in variants:
        fault = unmet(variant.needs, cpu, provider)
        if not fault:
            return Choice(variant, _met(variant.needs, cpu))
        faults.append(f"{variant.name}: {fault}")
    return Choice(None, "; ".join(faults))


def unmet(needs: Needs, cpu: Cpu, provider: str = CPU_PROVIDER) -> str:
    """What this machine lacks, in words; empty where it lacks nothing."""
    if needs.provider != provider:
        return f"is for {needs.provider}"
    if needs.machine not in (None, cpu.machine):
        return f"is for {needs.machine}, this CPU is {cpu.machine}"
    if needs.cpu_flags and not cpu.flags.intersection(needs.cpu_flags):
        return f"this CPU shows no {' or '.join(needs.cpu_flags)}"
    return ""


def _met(needs: Needs, cpu: Cpu) -> str:
    has = [flag for flag in needs.cpu_flags if flag in cpu.flags]
    return f"this CPU has {has[0]}" if has else "any machine runs it"
