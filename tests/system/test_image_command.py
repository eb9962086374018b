"""The kept picture of a part, asked of a running station by its result's id."""

import base64
from pathlib import Path

import cv2
import numpy as np

from inspector.contract.command import Command, Reply
from inspector.contract.strict import parse
from inspector.delivery.keys import Signer
from inspector.delivery.ledger import ledger_path, read_audit
from tests.brokers import Listener, Mosquitto
from tests.delivery.test_commands import make_ed25519
from tests.support import make_bundle, run_inspector, start_station, until, write_station
from tests.system.test_killed_station import end, rows

GOES_ON = {"camera": {"loop": True}, "trigger": {"kind": "interval", "period_ms": 50}}


def wish(result_id: str) -> Command:
    words = {"schema": 2, "id": "w-1", "action": "image", "result": result_id}
    return parse(Command, words, "command")


def test_the_picture_of_a_reject_comes_by_its_id_to_who_may_see_it_and_again_where_it_was_lost(
    tmp_path: Path,
) -> None:
    make_ed25519(tmp_path, "quality")
    make_ed25519(tmp_path, "foreman")
    with Mosquitto(tmp_path) as broker:
        mqtt = {"port": broker.start().port}
        bundle = make_bundle(tmp_path / "bundles")
        path = write_station(tmp_path, bundle, mqtt=mqtt, **GOES_ON)
        keys = [
            f'[[commands.keys]]\nname = "{name}"\nfile = "{name}.pub"\nactions = ["{may}"]\n'
            for name, may in (("quality", "image"), ("foreman", "stop"))
        ]
        path.write_text("\n".join((path.read_text(), *keys)), encoding="utf-8")
        station = start_station(path)
        try:
            assert until(lambda: any((tmp_path / "images").glob("*.jpg")))
            assert until(lambda: "commands are taken" in (tmp_path / "station.log").read_text())
            kept = min((tmp_path / "images").glob("*.jpg"))
            reject = next(row for row in rows(tmp_path) if row["image"] == kept.stem)
            assert reject["evaluation"] == "NOT_OK"
            with Listener(broker.port, "plant/line/test/reply/#") as listener:

                def asked(name: str, result_id: str, times: int = 1) -> list[Reply]:
                    envelope = Signer(name, tmp_path / f"{name}.key", "plant/line").seal(
                        wish(result_id), "test", 30.0
                    )
                    listener.messages.clear()
                    for number in range(1, times + 1):
                        listener.publish(f"plant/line/test/command/{name}", envelope.to_json())
                        assert until(lambda count=number: len(listener.messages) == count)  # type: ignore[misc]
                    return [Reply.model_validate_json(m.payload) for m in listener.messages]

                for reply in asked("quality", str(reject["result_id"]), times=2):
                    assert reply.picture is not None, reply.reason
                    assert base64.b64decode(reply.picture.jpeg) == kept.read_bytes()
                noise = np.random.default_rng(1).integers(0, 256, (1200, 1600, 3), np.uint8)
                assert cv2.imwrite(str(kept), noise)
                for reply in (*asked("quality", kept.stem, times=2), *asked("quality", kept.stem)):
                    assert reply.picture is not None, reply.reason
                    assert reply.picture.scale < 1.0, "2 MB do not fit into a message"
                (unkept,) = asked("quality", "nobody-1")
                assert (unkept.outcome, unkept.picture) == ("refused", None)
                assert "no picture of nobody-1 is kept" in unkept.reason
                (stranger,) = asked("foreman", kept.stem)
                assert (stranger.outcome, stranger.picture) == ("refused", None)
                assert stranger.reason == "foreman may not image"
            end(station, tmp_path)
        finally:
            station.kill()
    audit = [(e.event, e.sender, e.outcome) for _, e, _ in read_audit(tmp_path / "journal.db")]
    assert audit.count(("answered", "quality", "done")) == 3, "sent five times: a row a command"
    assert ledger_path(tmp_path / "journal.db").stat().st_size < 100_000, "without the picture"


def test_a_person_writes_it_to_a_file(tmp_path: Path) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), **GOES_ON)
    station = start_station(path)
    try:
        assert until(lambda: any((tmp_path / "images").glob("*.jpg")))
        kept = min((tmp_path / "images").glob("*.jpg"))
        out = tmp_path / "look.jpg"
        done = run_inspector("command", path, "image", kept.stem, "--out", out)
        assert (done.returncode, done.stdout.splitlines()[0]) == (
            0,
            f"done: the picture of {kept.stem}",
        ), done.stderr
        assert out.read_bytes() == kept.read_bytes()
        refused = run_inspector("command", path, "image", "nobody-1")
        assert refused.returncode == 1
        assert "no picture of nobody-1 is kept" in refused.stdout
        badly = run_inspector("command", path, "image", "../recipe")
        assert badly.returncode == 78
    finally:
        station.kill()
        station.wait()
