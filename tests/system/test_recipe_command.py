"""A recipe changed on a running station: from a shell, signed over the broker, and refused."""

import json
from pathlib import Path
from typing import Any

from inspector.check import check as check_all
from inspector.contract.command import Command
from inspector.delivery.commander import CommanderSettings, send
from inspector.delivery.ledger import read_audit
from tests.brokers import Mosquitto
from tests.delivery.test_commands import make_ed25519
from tests.support import make_bundle, run_inspector, start_station, toml, until, write_station


def test_a_person_changes_a_recipe_and_whose_key_may_not_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    for name in ("engineer", "foreman"):
        make_ed25519(tmp_path, name)
    change: dict[str, Any] = {
        "based_on": 0,
        "bundle": bundle.id,
        "regions": {"kind": "grid", "rows": 2, "columns": 1},
        "limits": {"review_at": 0.2, "reject_at": 0.6},
        "why": "scratches at the lower edge",
    }
    with Mosquitto(tmp_path, quiet=True) as broker:
        broker.start()
        path = write_station(tmp_path, bundle, camera={"loop": True}, mqtt={"port": broker.port})
        text = path.read_text(encoding="utf-8")
        for name, action in (("engineer", "recipe"), ("foreman", "stop")):
            key = {"name": name, "file": f"{name}.pub", "actions": [action]}
            text += f"\n[[commands.keys]]\n{toml(key)}"
        path.write_text(text, encoding="utf-8")
        station = start_station(path)

        def asked(sender: str, **words: Any) -> tuple[str, str]:
            settings = CommanderSettings.model_validate(
                {
                    "sender": sender,
                    "key_file": tmp_path / f"{sender}.key",
                    "topic_root": "plant/line",
                    "wait_s": 60.0,
                    "mqtt": {"host": "127.0.0.1", "port": broker.port},
                }
            )
            said = {"schema": 3, "id": f"c-{words['based_on']}", "action": "recipe"}
            reply = send(settings, "test", Command.model_validate({**said, "recipe": words}))
            return reply.outcome, reply.reason

        try:
            assert until(lambda: any((tmp_path / "images").glob("*.jpg")), 40.0)
            assert asked("foreman", **change) == ("refused", "foreman may not recipe")
            outcome, reason = asked("engineer", **change)
            assert (outcome, "revision 1" in reason) == ("done", True), reason
            asked_by_file = tmp_path / "change.json"
            asked_by_file.write_text(
                json.dumps({**change, "based_on": 1, "limits": None}), encoding="utf-8"
            )
            done = run_inspector("command", path, "recipe", asked_by_file)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "revision 2: limits: review 0.2, reject 0.6 -> the bundle's own" in done.stdout
            assert any("revision 2 of it holds" in each.text for each in check_all(path))
        finally:
            station.kill()
            station.wait()
    rows = [e for _, e, _ in read_audit(tmp_path / "journal.db") if e.event == "answered"]
    assert [(e.action, e.outcome) for e in rows] == [
        ("recipe", "refused"),
        ("recipe", "done"),
        ("recipe", "done"),
    ]
    assert rows[1].sender == "engineer"
    assert "why: scratches at the lower edge" in rows[1].reason


def test_a_change_that_an_editor_of_windows_saved_is_read(tmp_path: Path) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    change = {"based_on": 0, "bundle": "tiny", "regions": None, "limits": None, "why": "try it"}
    (tmp_path / "change.json").write_text(json.dumps(change), encoding="utf-8-sig")
    done = run_inspector("command", path, "recipe", tmp_path / "change.json")
    assert "no station answers there" in done.stderr  # it was to be asked
