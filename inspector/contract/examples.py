"""One true example of every message, for who reads the contract: built, so it cannot be wrong."""

from datetime import UTC, datetime

from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayedResult,
    ReplayRequest,
)
from inspector.contract.result import InspectionResult, LimitsUsed, PartRef, RegionResult
from inspector.contract.shadow import Opinion, ShadowMessage
from inspector.contract.status import (
    Alarm,
    AlarmMessage,
    ConsumerStatus,
    Heartbeat,
    Spread,
    StateMessage,
    TallyCounts,
)

STATION, BOOT, BUNDLE = "cell-01", "20260102T030405-a1b2c3", "elpv-9b49b7960e37"
AT = datetime(2026, 1, 2, 3, 14, 15, 926_000, tzinfo=UTC)

RESULT = InspectionResult(
    result_id=f"{BOOT}-1207",
    station=STATION,
    boot=BOOT,
    seq=48_213,
    part=PartRef(id="WT-0042-17", sequence=1_207),
    passed=False,
    evaluation="NOT_OK",
    reason="defective",
    label="defective",
    score=0.97,
    novelty=1.4,
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
    seq=48_213,
    tally=TallyCounts(
        triggers=1_207,
        verdicts={"OK": 1_150, "NOT_OK": 57},
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
