"""What Prometheus is told, out of one look at the station."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from inspector.contract.status import ConsumerStatus, EchoStatus
from inspector.contract.verdict import EVALUATION_OF, Cause
from inspector.station.spread import Buckets
from inspector.station.state import State
from inspector.supervise.vitals import Delivery, Vitals

CONTENT_TYPE = CONTENT_TYPE_LATEST

FRAME_CAUSES: tuple[Cause, ...] = ("unreadable", "stale", "frozen", "attestation", "unsuitable")


def exposition(vitals: Vitals) -> bytes:
    """In Prometheus' text format; every figure of the same moment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Look(vitals))
    return generate_latest(registry)


class _Look(Collector):
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        yield from _about(self._vitals)
        yield from _ledger(self._vitals)
        yield from _times(self._vitals)
        yield from _at_the_line(self._vitals)
        yield from _bundles(self._vitals)
        if self._vitals.delivery is not None:
            yield from _delivery(self._vitals.delivery)


def _about(vitals: Vitals) -> Iterator[Metric]:
    state = vitals.state
    yield _labelled("build_info", "What runs.", version=vitals.version, station=state.station)
    states = GaugeMetricFamily("inspector_state", "1 for the state it is in.", labels=["state"])
    for each in State:
        states.add_metric([each.value], float(each is vitals.pulse.state))
    yield states
    yield _gauge("pass_permitted", "1: a good part would pass now.", vitals.not_ready() is None)
    yield _gauge("heartbeat_age_seconds", "Since the pipeline last moved.", vitals.still_s)
    yield _gauge("threads_dead", "Threads that should run and do not.", len(vitals.dead))
    yield _gauge("mqtt_thread_alive", "1: the courier runs.", "courier" not in vitals.dead)
    commands = CounterMetricFamily(
        "inspector_commands", "Commands answered.", labels=["action", "outcome"]
    )
    for (action, outcome), count in sorted(vitals.commands.items()):
        commands.add_metric([action, outcome], count)
    yield commands
    dropped = CounterMetricFamily(
        "inspector_commands_dropped", "Messages that got no answer.", labels=["reason"]
    )
    for reason, count in sorted(vitals.dropped.items()):
        dropped.add_metric([reason], count)
    yield dropped
    yield CounterMetricFamily("inspector_audit_entries", "Rows of it.", value=vitals.audit_rows)


def _ledger(vitals: Vitals) -> Iterator[Metric]:
    """triggers = sum of parts + unrecorded, but for a part in work: one trigger, one verdict."""
    tally = vitals.state.tally
    parts = CounterMetricFamily(
        "inspector_parts", "Parts with a verdict, since this boot.", labels=["verdict", "reason"]
    )
    parts.add_metric(["OK", ""], tally.verdicts.get("OK", 0))
    for cause, count in sorted(tally.causes.items()):
        parts.add_metric([EVALUATION_OF[cause].name, cause], count)
    yield parts
    for name, text, value in (
        ("triggers", "Parts that were triggered.", tally.triggers),
        ("triggers_missed", "Parts that came while another was in work.", tally.triggers_missed),
        ("parts_unrecorded", "Parts that could not be stored: rejected.", tally.unrecorded),
        ("deadline_missed", "Parts rejected because their deadline had passed.", tally.late),
        ("late_results", "Of these, judged in time but stored too late.", tally.late_commits),
        ("verdicts_unshown", "Verdicts the line did not get in time.", tally.unshown),
        ("line_stops", "How often the line was asked to stop.", tally.line_stops),
        ("capture_restarts", "Of the process that reads the camera.", tally.capture_restarts),
        ("images_dropped", "Images that were not kept.", tally.images_dropped),
        ("maps_dropped", "Defect maps that were none: kept without.", vitals.maps_dropped),
        ("clock_jumps", "How often the wall clock was set.", tally.clock_jumps),
    ):
        yield CounterMetricFamily(f"inspector_{name}", text, value=value)
    frames = CounterMetricFamily(
        "inspector_frames", "Frames no part was judged by.", labels=["status"]
    )
    frames.add_metric(["missed"], tally.frames_missed)
    for cause in FRAME_CAUSES:
        frames.add_metric([cause], tally.causes.get(cause, 0))
    yield frames
    for name, text, cause in (
        ("frame_duplicates", "Frames whose every pixel was that of the one before.", "frozen"),
        ("nonfinite_outputs", "Scores and novelties that were no numbers in range.", "score"),
    ):
        yield CounterMetricFamily(f"inspector_{name}", text, value=tally.causes.get(cause, 0))
    attested = GaugeMetricFamily(
        "inspector_attestation_ratio",
        "Of the last frame: how near a figure is to its limit; above 1 it is outside.",
        labels=["check"],
    )
    for check, used in sorted(vitals.figures.attested.items()):
        attested.add_metric([check], used)
    yield attested


def _times(vitals: Vitals) -> Iterator[Metric]:
    stages = HistogramMetricFamily(
        "inspector_part_latency_seconds", "Of a part, by stage.", labels=["stage"]
    )
    for stage, buckets in sorted(vitals.figures.latencies.items()):
        if stage not in ("commit", "echo"):
            stages.add_metric([stage], _cumulated(buckets), buckets.sum_s)
    yield stages
    for stage, name, text in (
        ("commit", "journal_commit_seconds", "Until a row was durable."),
        ("echo", "line_echo_seconds", "From telling a verdict to the controller's echo."),
    ):
        times = vitals.figures.latencies.get(stage)
        if times is not None:
            yield HistogramMetricFamily(
                f"inspector_{name}", text, buckets=_cumulated(times), sum_value=times.sum_s
            )


def _at_the_line(vitals: Vitals) -> Iterator[Metric]:
    trigger, line = vitals.state.trigger, vitals.state.line
    if trigger is not None:
        yield _gauge("trigger_ready", "1: a trigger could come now.", trigger.trouble is None)
        refused = CounterMetricFamily(
            "inspector_triggers_refused", "Triggers that were not acted on.", labels=["reason"]
        )
        for reason, count in sorted(trigger.refused.items()):
            refused.add_metric([reason], count)
        yield refused
    if line is not None:
        yield _gauge("line_connected", "1: the line can be told.", line.trouble is None)
        yield CounterMetricFamily(
            "inspector_line_failures", "How often the line was lost.", value=line.failures
        )
        if line.echo is not None:
            yield from _echoes(line.echo)


def _echoes(echo: EchoStatus) -> Iterator[Metric]:
    for name, text, value in (
        ("line_mismatch", "The controller acted on another verdict.", echo.mismatches),
        ("line_echoes", "Verdicts the controller echoed.", echo.echoes),
        ("line_echoes_missing", "Verdicts it did not echo in time.", echo.missing),
        ("line_ejected", "Rejected parts seen to leave the belt.", echo.ejected),
        ("line_not_ejected", "Rejected parts not seen to leave in time.", echo.not_ejected),
    ):
        yield CounterMetricFamily(f"inspector_{name}", text, value=value)
    refused = CounterMetricFamily(
        "inspector_line_echoes_refused", "Messages that were no echo.", labels=["reason"]
    )
    for reason, count in sorted(echo.refused.items()):
        refused.add_metric([reason], count)
    yield refused


def _bundles(vitals: Vitals) -> Iterator[Metric]:
    state = vitals.state
    if state.bundle is not None:
        labels = {
            "recipe": state.recipe or "",
            "variant": state.model.variant if state.model else "",
        }
        yield _labelled("bundle_info", "What it inspects by.", bundle=state.bundle, **labels)
    error = vitals.figures.golden_error
    if error is not None:
        text = "Largest difference of a probability in the bundle's self-test here."
        yield _gauge("golden_max_abs_error", text, error)
    if state.bundles is not None:
        loads = CounterMetricFamily(
            "inspector_bundle_loads", "Bundles that were to serve.", labels=["outcome"]
        )
        for outcome, count in sorted(state.bundles.loads.items()):
            loads.add_metric([outcome], count)
        yield loads


def _delivery(delivery: Delivery) -> Iterator[Metric]:
    yield _gauge("mqtt_connected", "1: the broker has accepted us.", delivery.connected)
    yield CounterMetricFamily(
        "inspector_mqtt_reconnects", "Connections after the first.", value=delivery.reconnects
    )
    yield _gauge("journal_rows", "Results in the journal.", delivery.rows)
    yield _gauge("journal_bytes", "Its file's size.", delivery.bytes)
    yield _gauge("disk_free_bytes", "Free on the journal's disk.", delivery.disk_free_bytes)
    yield from _consumers(delivery)


def _consumers(delivery: Delivery) -> Iterator[Metric]:
    """The courier stands for the broker, beside whoever is registered."""
    courier = ConsumerStatus(
        name="courier",
        acknowledged=delivery.acknowledged_seq,
        lag=delivery.lag,
        oldest_unacknowledged_s=delivery.oldest_waiting_s,
    )
    acknowledged, lag, oldest, lost = (
        GaugeMetricFamily(f"inspector_journal_{name}", text, labels=["consumer"])
        for name, text in (
            ("acknowledged_seq", "What a consumer has."),
            ("lag_rows", "Results it has not acknowledged."),
            ("oldest_unacknowledged_seconds", "How long the oldest of them waits."),
            ("lost_rows", "Results let go before it acknowledged them."),
        )
    )
    refused, replayed = (
        CounterMetricFamily(f"inspector_consumer_{name}", text, labels=["consumer"])
        for name, text in (
            ("refused", "Acknowledgements and requests refused."),
            ("replayed_rows", "Results sent again."),
        )
    )
    for each in (courier, *delivery.consumers):
        acknowledged.add_metric([each.name], each.acknowledged)
        lag.add_metric([each.name], each.lag)
        oldest.add_metric([each.name], each.oldest_unacknowledged_s)
        lost.add_metric([each.name], each.lost)
    for each in delivery.consumers:
        refused.add_metric([each.name], each.refused)
        replayed.add_metric([each.name], each.replayed)
    yield from (acknowledged, lag, oldest, lost, refused, replayed)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"inspector_{name}", text, value=float(value))


def _labelled(name: str, text: str, **labels: str) -> Metric:
    """A gauge that is always 1: what is said stands in its labels."""
    family = GaugeMetricFamily(f"inspector_{name}", text, labels=list(labels))
    family.add_metric(list(labels.values()), 1.0)
    return family


def _cumulated(buckets: Buckets) -> list[tuple[str, float]]:
    return [("+Inf" if le == float("inf") else str(le), n) for le, n in buckets.cumulated()]
