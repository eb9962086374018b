"""What nobody foresaw in a message costs that message: not the station, and not the others."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from inspector.hmi.alarm_log import AlarmLog, Wanted
from inspector.hmi.follow import Follower
from inspector.hmi.known import Known
from inspector.hmi.settings import CommandSettings, HmiSettings, StationSettings, places
from tests.brokers import Listener, Mosquitto
from tests.hmi.plant import Client, Pages
from tests.support import until

KEPT = {
    "state": b'{"station":"evil","state":"RUN","seq":1e999}',
    "alarm": rb'{"station":"evil","alarms":[{"kind":"x","cause":"\ud800","since":""}]}',
    "result": b'{"station":"evil","seq":1,"score":1' + b"0" * 400 + b"}",
}
"""One of each, as a broker hands it to whoever comes later."""
UNREADABLE = [
    *KEPT.items(),
    ("state", b'{"station":"evil","state":"RUN","cause":NaN}'),
    ("state", rb'{"station":"evil","state":"\udfff"}'),
    ("state", b'{"station":"evil","a":' + b"[" * 900 + b"]" * 900 + b"}"),
    ("state", '{"station":"evil","state":"RUN"}'.encode("utf-16")),
    ("alarm", b'{"station":"evil","alarms":[{"kind":"x","since":-1e999}]}'),
    ("alarm", rb'{"station":"evil","boot":"\ud800","alarms":[{"kind":"x"}]}'),
    ("result", b'{"station":"evil","seq":1,"limits":{"review_at":-1e999}}'),
    ("result", b'{"station":"evil","seq":1' + b"0" * 400 + b"}"),
    ("result", b'{"station":"evil","seq":1,"seq":2}'),
    ("result", b'{"station":"evil"'),
    ("result", b"\xff"),
]


def station(name: str, broker: Mosquitto) -> dict[str, Any]:
    return {
        "station": name, "topic_root": "plant", "mqtt": {"host": "127.0.0.1", "port": broker.port},
        "commands": {"sender": "hmi", "key_file": "key", "wait_s": 0.1},
    }  # fmt: skip


def write_key(folder: Path) -> None:
    (folder / "key").write_text(f"{secrets.token_hex(32)}\n", encoding="utf-8")
    (folder / "key").chmod(0o600)


def said(kind: str) -> bytes:
    alarm = {"kind": kind, "cause": "dark", "since": ""}
    return json.dumps({"station": "evil", "boot": "b", "alarms": [alarm]}).encode()


def no_constant(name: str) -> NoReturn:
    raise AssertionError(f"JSON.parse of a browser would throw: {name}")


def first_event(client: Client) -> Any:
    """What a page gets that is opened now."""
    connection = client.connect()
    try:
        connection.request("GET", "/api/stream", headers={"Cookie": client.cookie})
        answer = connection.getresponse()
        data = answer.readline().decode().removeprefix("data:")
        return json.loads(data, parse_constant=no_constant)["stations"]
    finally:
        connection.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker"), quiet=True) as found:
        yield found.start()


def test_a_station_that_says_what_nobody_can_read_is_followed_and_reached_as_before(
    tmp_path: Path, broker: Mosquitto
) -> None:
    write_key(tmp_path)
    pages = Pages(tmp_path, station("good", broker), station("evil", broker))
    try:
        pages.start()
        admin = Client(pages.port)
        assert admin.accept(pages.first_token(), "admin").status == 200
        with Listener(broker.port, "plant/evil/#", name="unreadable") as line:

            def unreadable() -> Any:
                return admin.ask("GET", "/api/system").json()["stations"][1]["unreadable"]

            def require_followed(alarm: str) -> None:
                line.publish("plant/evil/alarm", said(alarm))
                assert until(lambda: kept_alarms(admin)[-1:] == [alarm]), pages.log()
                ask = {"action": "halt", "confirmed": True}
                line.messages.clear()
                assert admin.ask("POST", "/api/stations/evil/commands", ask).status == 504
                assert until(lambda: any(b"halt" in m.payload for m in line.messages))
                event = first_event(admin)
                assert event["good"]["known"]["state"]["state"] == "RUN"
                assert event["evil"]["known"]["connected"] is True

            state = {"station": "good", "state": "RUN"}
            line.publish("plant/good/state", json.dumps(state).encode(), retain=True)
            assert until(lambda: first_event(admin)["good"]["known"]["state"] is not None)
            assert until(lambda: first_event(admin)["evil"]["known"]["connected"])
            for what, payload in UNREADABLE:
                line.publish(f"plant/evil/{what}", payload)
            assert until(lambda: unreadable() == len(UNREADABLE)), unreadable()
            require_followed("first")
            for what, payload in KEPT.items():
                line.publish(f"plant/evil/{what}", payload, retain=True)
            pages.kill()
            pages.start()
            admin.look()
            assert until(lambda: unreadable() == len(KEPT)), unreadable()
            require_followed("second")
        assert "Traceback" not in pages.log()
    finally:
        pages.kill()


def kept_alarms(client: Client) -> list[str]:
    """Oldest first."""
    rows = client.ask("GET", "/api/alarms?station=evil").json()["rows"]
    return [each["kind"] for each in reversed(rows) if each["kind"] in ("first", "second")]


class Stumbling(AlarmLog):
    """Has a fault of ours, which one message in particular finds."""

    whole = True

    def heard(self, station: str, message: dict[str, Any]) -> None:
        if message.get("boot") == "unforeseen":
            raise RuntimeError("nobody thought of that")
        super().heard(station, message)


class Broken(Stumbling):
    """Another that no message has a part in; it passes."""

    whole = False

    def watched(self, *words: Any) -> None:
        if not self.whole:
            self.whole = True
            raise RuntimeError("nobody thought of that either")
        super().watched(*words)


def followed(folder: Path, broker: Mosquitto, alarms: AlarmLog) -> Follower:
    write_key(folder)
    words = station("evil", broker) | {"commands": None}
    commands = CommandSettings(sender="hmi", key_file=folder / "key")
    found = StationSettings.model_validate(words)
    settings = HmiSettings(state_folder=folder, commands=commands, stations=(found,))
    return Follower(places(settings)[0], alarms, 2.0)


@pytest.mark.parametrize("kind", [Stumbling, Broken])
def test_a_fault_of_the_pages_own_ends_no_station_either(
    tmp_path: Path, broker: Mosquitto, kind: type[Stumbling], caplog: pytest.LogCaptureFixture
) -> None:
    alarms = kind(tmp_path, ["evil"])
    follower = followed(tmp_path, broker, alarms)
    follower.start()
    try:
        with Listener(broker.port, "nothing", name="unforeseen") as line:

            def kept() -> bool:
                """Said again until it is listened to, and after what broke."""
                line.publish("plant/evil/heartbeat", b"{}")
                broke = alarms.whole
                for boot in ("unforeseen", "unforeseen", "b" if broke else "unforeseen"):
                    words = json.loads(said("fire")) | {"boot": boot}
                    line.publish("plant/evil/alarm", json.dumps(words).encode())
                return "fire" in [each["kind"] for each in alarms.rows(Wanted())["rows"]]

            assert until(kept, 60.0)
        assert follower.known.unreadable >= 2
        told = [each.message for each in caplog.records if each.exc_info]
        assert len([each for each in told if "left out" in each]) == 1
        assert len([each for each in told if "connect anew" in each]) == (kind is Broken)
    finally:
        follower.stop()
        alarms.close()


def test_what_no_browser_could_read_is_in_no_event() -> None:
    known = Known("evil")
    known.connection(up=True)
    known.state({"seq": float("inf")})
    found = json.loads(known.snapshot()[1], parse_constant=no_constant)
    assert found["connected"] is True
    assert found["state"] is None
    assert known.unreadable == 1
    known.state({"seq": 7})
    assert json.loads(known.snapshot()[1])["state"] == {"seq": 7}
    for seq, score in enumerate((float("nan"), float("inf"), 10**400, "0.5", 0.5), start=1):
        known.result({"seq": seq, "score": score})
    assert [point[1] for point in known.points_after(0)] == [None, None, None, None, 0.5]
