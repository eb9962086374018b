"""The kept picture of a part, asked of a running station by its result's id."""

import base64
import sqlite3
from pathlib import Path

import cv2
import numpy as np

from inspector.contract.command import Command, Reply
from inspector.contract.signed import SignedCommand
from inspector.contract.strict import parse
from inspector.delivery.keys import Signer
from inspector.delivery.ledger import ledger_path, read_audit
from tests.brokers import Listener, Mosquitto
from tests.delivery.test_commands import make_ed25519
from tests.support import make_bundle, run_inspector, start_station, until, write_station
from tests.system.test_killed_station import end, rows
from tests.system.test_supervision import spoilt

GOES_ON = {"camera": {"loop": True}, "trigger": {"kind": "interval", "period_ms": 50}}


def wish(result_id: str) -> Command:
    words = {"schema": 2, "id": "w-1", "action": "image", "result": result_id}
    return parse(Command, words, "command")


def permit(path: Path, **may: str) -> None:
    """Senders with a key of their own, and what each may ask for."""
    keys = []
    for name, action in may.items():
        make_ed25519(path.parent, name)
        keys.append(
            f'[[commands.keys]]\nname = "{name}"\nfile = "{name}.pub"\nactions = ["{action}"]\n'
        )
    path.write_text("\n".join((path.read_text(encoding="utf-8"), *keys)), encoding="utf-8")


def sealed(folder: Path, name: str, result_id: str) -> SignedCommand:
    return Signer(name, folder / f"{name}.key", "plant/line").seal(wish(result_id), "test", 30.0)


def sent(listener: Listener, name: str, envelope: SignedCommand) -> Reply:
    listener.messages.clear()
    listener.publish(f"plant/line/test/command/{name}", envelope.to_json())
    assert until(lambda: bool(listener.messages))
    (message,) = listener.messages
    return Reply.model_validate_json(message.payload)


def test_the_picture_of_a_reject_comes_by_its_id_to_who_may_see_it_and_again_where_it_was_lost(
    tmp_path: Path,
) -> None:
    with Mosquitto(tmp_path) as broker:
        mqtt = {"port": broker.start().port}
        bundle = make_bundle(tmp_path / "bundles")
        path = write_station(tmp_path, bundle, mqtt=mqtt, **GOES_ON)
        permit(path, quality="image", foreman="stop")
        station = start_station(path)
        try:
            assert until(lambda: any((tmp_path / "images").glob("*.jpg")))
            assert until(lambda: "commands are taken" in (tmp_path / "station.log").read_text())
            kept = min((tmp_path / "images").glob("*.jpg"))
            reject = next(row for row in rows(tmp_path) if row["image"] == kept.stem)
            assert reject["evaluation"] == "NOT_OK"
            with Listener(broker.port, "plant/line/test/reply/#") as listener:

                def asked(name: str, result_id: str, times: int = 1) -> list[Reply]:
                    envelope = sealed(tmp_path, name, result_id)
                    return [sent(listener, name, envelope) for _ in range(times)]

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


HOLE = """
import sys
from inspector.delivery import archive
real = archive.ImageArchive.picture
def picture(self, result_id):
    return 1 / 0 if result_id == "hole-1" else real(self, result_id)
archive.ImageArchive.picture = picture
from inspector.cli import main
sys.exit(main(["run", sys.argv[1]]))
"""


def test_a_picture_that_is_not_whole_and_a_hole_in_the_program_cost_one_request_and_no_station(
    tmp_path: Path,
) -> None:
    with Mosquitto(tmp_path) as broker:
        mqtt = {"port": broker.start().port}
        path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), mqtt=mqtt, **GOES_ON)
        permit(path, quality="image")
        with spoilt(path, HOLE) as station:
            assert until(lambda: len(list((tmp_path / "images").glob("*.jpg"))) > 3)
            assert until(lambda: "commands are taken" in (tmp_path / "station.log").read_text())
            good, *torn = sorted((tmp_path / "images").glob("*.jpg"))[:4]
            whole = good.read_bytes()
            # what a power cut leaves of a file that nobody has synchronised
            halves = b"", b"\0" * len(whole), whole[: len(whole) // 2]
            with Listener(broker.port, "plant/line/test/reply/#") as listener:
                for kept, half in zip(torn, halves, strict=True):
                    kept.write_bytes(half)
                    reply = sent(listener, "quality", sealed(tmp_path, "quality", kept.stem))
                    assert (reply.outcome, reply.picture) == ("refused", None)
                    assert f"the picture of {kept.stem} cannot be read" in reply.reason
                envelope = sealed(tmp_path, "quality", "hole-1")
                for _ in range(2):
                    reply = sent(listener, "quality", envelope)
                    assert (reply.outcome, "ZeroDivisionError" in reply.reason) == ("failed", True)
                done = run_inspector("command", path, "image", "hole-1")
                assert done.stdout.startswith("failed: "), done.stderr
                # a reply as another version of the program may have kept it
                envelope = sealed(tmp_path, "quality", good.stem)
                assert sent(listener, "quality", envelope).outcome == "done"
                with sqlite3.connect(ledger_path(tmp_path / "journal.db")) as ledger:
                    ledger.execute("UPDATE command SET reply = '{}'")
                assert sent(listener, "quality", envelope).outcome == "failed"
                assert sent(listener, "quality", sealed(tmp_path, "quality", good.stem)).picture
            end(station, tmp_path)
    log = (tmp_path / "station.log").read_text(encoding="utf-8")
    assert log.count("ZeroDivisionError: division by zero") == 2, "a traceback a command"


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
