"""One true example of every message, for who reads the contract: built, so it cannot be wrong."""

from datetime import UTC, datetime

from inspector.contract.command import Command, Reply
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayedResult,
    ReplayRequest,
)
from inspector.contract.echo import EchoMessage
from inspector.contract.line import LineMessage
from inspector.contract.result import (
    InspectionResult,
    LimitsUsed,
    PartRef,
    RegionResult,
    TriggerRef,
)
from inspector.contract.shadow import Opinion, ShadowMessage
from inspector.contract.signed import SignedCommand
from inspector.contract.status import (
    Alarm,
    AlarmMessage,
    ConsumerStatus,
    Heartbeat,
    ModelStatus,
    Spread,
    StateMessage,
    TallyCounts,
)
from inspector.contract.trigger import TriggerMessage

STATION, BOOT, BUNDLE = "cell-01", "20260102T030405-a1b2c3", "elpv-9b49b7960e37"
AT = datetime(2026, 1, 2, 3, 14, 15, 926_000, tzinfo=UTC)

RESULT = InspectionResult(
    result_id=f"{BOOT}-1207",
    station=STATION,
    boot=BOOT,
    seq=48_213,
    part=PartRef(id="WT-0042-17", sequence=1_207),
    trigger=TriggerRef(id="T-90817", deadline_ms=300),
    passed=False,
    evaluation="NOT_OK",
    reason="defective",
    cause="defect",
    label="defective",
    score=0.97,
    novelty=1.4,
    deadline_ms=300,
    late=False,
    attestation={"sharpness": 31.5, "shift_px": 0.4},
    regions=(
        RegionResult(
            name="whole",
            x=0,
            y=0,
            width=300,
            height=300,
            evaluation="NOT_OK",
            reason="defective",
            label="defective",
            score=0.97,
            novelty=1.4,
        ),
    ),
    limits=LimitsUsed(review_at=0.21, reject_at=0.8, novelty_at=3.1, source="bundle"),
    recipe="solar-cell",
    bundle=BUNDLE,
    captured_at=AT,
    times_ms={"grab": 1.1, "predict": 5.2, "total": 7.4},
    image=f"{BOOT}-1207",
    simulated=False,
)
STATE = StateMessage(
    station=STATION,
    boot=BOOT,
    state="CONTINUOUS_EXECUTION",
    cause="autostart",
    since=AT,
    withheld=None,
    recipe="solar-cell",
    bundle=BUNDLE,
    model=ModelStatus(variant="int8-vnni", reason="this CPU has avx512_vnni"),
    seq=48_213,
    tally=TallyCounts(
        triggers=1_207,
        verdicts={"OK": 1_150, "NOT_OK": 57},
        causes={"defect": 57},
        trigger_to_verdict_ms=Spread(n=1_000, p50=7.1, p99=9.3),
    ),
    consumers=(
        ConsumerStatus(name="historian", acknowledged=48_190, lag=23, oldest_unacknowledged_s=11.5),
    ),
)
ALARM = AlarmMessage(
    station=STATION,
    boot=BOOT,
    line_stop=True,
    alarms=(Alarm(kind="not_judgeable", cause="5 parts in a row could not be judged", since=AT),),
)
HEARTBEAT = Heartbeat(
    station=STATION, boot=BOOT, beat=3_041, state="CONTINUOUS_EXECUTION", seq=48_213
)
SHADOW = ShadowMessage(
    station=STATION,
    boot=BOOT,
    number=3,
    judged=1_207,
    result_id=RESULT.result_id,
    seq=RESULT.seq,
    part="WT-0042-17",
    captured_at=AT,
    serving=Opinion(bundle=BUNDLE, evaluation="NOT_OK", label="defective", score=0.97),
    shadow=Opinion(bundle="elpv-fedcba987654", evaluation="OK", label="functional", score=0.08),
    image=RESULT.result_id,
)
TRIGGER = TriggerMessage(id="T-90817", part_id="WT-0042-17", deadline_ms=300, sent_at=AT)
LINE = LineMessage(
    station=STATION,
    boot=BOOT,
    ready=True,
    acquired=True,
    done=True,
    sequence=1_207,
    part="WT-0042-17",
    trigger="T-90817",
)
ECHO = EchoMessage(
    boot=BOOT, sequence=1_207, verdict="reject", ejected=True, part="WT-0042-17", trigger="T-90817"
)
ACK = Acknowledgement.model_validate(
    {"schema": 1, "station": STATION, "seq": RESULT.seq, "result_id": RESULT.result_id}
)
REPLAY = ReplayRequest.model_validate(
    {"schema": 1, "station": STATION, "id": "1-9f3c", "from": 48_100, "to": 48_213}
)
REPLAYED = ReplayedResult(
    station=STATION, consumer="historian", replay="1-9f3c", seq=RESULT.seq, result=RESULT
)
CONSUMER_REPLY = ConsumerReply(
    station=STATION,
    boot=BOOT,
    consumer="historian",
    about="replay",
    id="1-9f3c",
    outcome="refused",
    reason="rows from 48100 on are no longer there: there are 48150 to 48213",
    first=48_150,
    last=48_213,
    acknowledged=48_190,
)

COMMAND = Command(schema=1, id="c-17", action="stop")

ENVELOPE = SignedCommand(
    schema=2,
    sender="foreman",
    topic_root="acme/plant-1/assembly/line-3",
    station=STATION,
    nonce="6f1c0d7e5b0a4c1f9a3de1f2c4b5a697",
    issued_ms=1_767_323_655_926,
    expires_ms=1_767_323_685_926,
    command=COMMAND.to_json().decode(),
    signature="c2" * 32,  # of no key: a true one would be of a key that everybody knows
)

REPLY = Reply(
    id=COMMAND.id,
    station=STATION,
    boot=BOOT,
    outcome="done",
    reason="STOP: from CONTINUOUS_EXECUTION to READY",
    state="READY",
    cause="stop by foreman",
    withheld="READY: stop by foreman",
)
