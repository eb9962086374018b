"""Whatever comes on a consumer's topics: no crash, and only a confirmed row moves its cursor."""

import json
import random
from pathlib import Path

import pytest

from inspector.contract.topics import Place
from inspector.delivery.consumers import Consumers, Identity
from inspector.delivery.cursors import Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalReader, JournalSettings
from tests.delivery.results import result

PLACE = Place.of("plant/line", "station")
ROWS, TOLD = 50, 40
SCRAPS = (
    *(b"{", b"}", b"[", b'"', b":", b",", b"\\ud800", b"\xff", b"\x00", b"NaN", b"1e999", b"-1"),
    *(b"true", b"null", b"0", b"9" * 400, b'"seq"', b'"schema":1', b'"station"', b'"to":41'),
)


def mutated(message: bytes, chance: random.Random) -> bytes:
    data = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(SCRAPS)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                digit = str(chance.randrange(10)).encode()
                data[:] = data.replace(chance.choice((b"3", b"1", b"0")), digit)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_no_message_crashes_the_courier_or_moves_a_cursor_it_should_not(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same mutants each time
    settings = ConsumerSettings(name="mes")
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    journal.register([settings])
    for seq in range(1, ROWS + 1):
        journal.put(result(seq))
        journal.release(seq)
    own = PLACE.consumer("mes")
    ack = {"schema": 1, "station": "station", "seq": 31, "result_id": "station-boot-31"}
    replay = {"schema": 1, "station": "station", "id": "r1", "from": 3, "to": 30}
    messages = [(own.ack, json.dumps(ack).encode()), (own.replay, json.dumps(replay).encode())]
    with JournalReader(journal.path) as rows, Cursors(journal.path) as cursors:
        consumers = Consumers(
            [settings],
            who=Identity("station", "boot"),
            place=PLACE,
            rows=rows,
            cursors=cursors,
            told=lambda: TOLD,
        )
        before = 0
        for _ in range(2_500):
            topic, message = chance.choice(messages)
            payload = mutated(message, chance)
            consumers.take(topic, payload, retained=False)
            consumers.look(float("inf"))
            (status,) = consumers.status
            assert before <= status.acknowledged <= TOLD
            if status.acknowledged != before:
                said = json.loads(payload)
                assert said["result_id"] == f"station-boot-{status.acknowledged}"
                assert (said["seq"], said["station"]) == (status.acknowledged, "station")
            before = status.acknowledged
        assert status.refused > 1_000
        consumers.save(0.0, at_once=True)
        assert cursors.all()["mes"] == before
    journal.close()
