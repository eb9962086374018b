"""Who may do what: every route by every role, on the running pages."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from inspector.hmi.access import ACCESS, OPEN, ROLES, require_complete
from inspector.hmi.app import Parts, make_app
from inspector.hmi.settings import HmiSettings, StationSettings
from tests.hmi.plant import Client, Plant

SAMPLES = {
    "{station}": "test", "{result_id}": "nothing", "{seq}": "1", "{name}": "nobody",
    "{path:path}": "page.css", "{bundle}": "nothing-012345678901", "{index}": "0", "{number}": "1",
}  # fmt: skip


def small_app(folder: Path) -> FastAPI:
    words = {"station": "test", "topic_root": "plant", "mqtt": {"host": "localhost"}}
    station = StationSettings.model_validate(words)
    parts = Parts.of(HmiSettings(state_folder=folder, stations=(station,)))
    app, _ = make_app(parts)
    parts.close()
    return app


def test_every_route_has_a_role_and_one_without_is_refused_at_the_start(tmp_path: Path) -> None:
    app = small_app(tmp_path)
    require_complete(app)
    app.get("/api/forgotten")(lambda: None)
    with pytest.raises(ValueError, match="GET /api/forgotten"):
        require_complete(app)


@pytest.mark.parametrize("role", [None, *ROLES], ids=str)
def test_a_role_may_what_the_table_says_and_nothing_else(plant: Plant, role: str | None) -> None:
    client = Client(plant.pages.port)
    if role is None:
        client.look()
    else:
        assert client.log_in(role).status == 200
    wrong = []
    last = ("DELETE", "/api/session")  # after it nobody is there
    for (method, path), needed in sorted(ACCESS.items(), key=lambda each: each[0] == last):
        sample = path
        for name, value in SAMPLES.items():
            sample = sample.replace(name, value)
        body: dict[str, str] | None = {} if method in ("POST", "PATCH") else None
        answer = client.ask(method, sample, body, whole="stream" not in path)
        allowed = needed == OPEN or (role is not None and ROLES.index(role) >= ROLES.index(needed))
        refused = answer.status in (401, 303) if role is None else answer.status == 403
        if allowed is refused or answer.status >= 500:
            wrong.append((method, path, needed, answer.status, answer.body[:80]))
    assert wrong == []


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"X-CSRF-Token": "0" * 64}, 403, "csrf"),
        ({"X-CSRF-Token": ""}, 403, "csrf"),
        ({"Origin": "http://evil.example"}, 403, "origin"),
        ({"Origin": ""}, 403, "origin"),
        ({"Origin": "null"}, 403, "origin"),
        ({"Host": "evil.example"}, 421, "host"),
        ({"Content-Length": "70000"}, 413, "too_long"),
    ],
)  # fmt: skip
def test_an_unsafe_request_that_is_not_from_our_own_page_is_refused(
    plant: Plant, headers: dict[str, str], status: int, word: str
) -> None:
    body = b"{}" if "Content-Length" not in headers else b""
    answer = plant.clients["admin"].ask(
        "POST", "/api/stations/test/commands", body, headers=headers
    )
    assert (answer.status, answer.json()["error"]) == (status, word)


@pytest.mark.parametrize(
    "path", ["/", "/api/session", "/api/system", "/static/page.css", "/nothing"]
)
def test_every_answer_forbids_frames_inline_code_and_being_kept(plant: Plant, path: str) -> None:
    headers = plant.clients["viewer"].ask("GET", path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    "name",
    ["../journal.db", "..%2fjournal.db", "%2e%2e%2fjournal.db", "..%5cjournal.db",
     ".inspector-archive", "a%00b", "x" * 300, "%2fetc%2fpasswd"],
)  # fmt: skip
def test_a_picture_is_named_by_its_id_and_by_nothing_else(plant: Plant, name: str) -> None:
    answer = plant.clients["viewer"].ask("GET", f"/api/stations/test/pictures/{name}")
    assert answer.status in (404, 422)
    assert b"SQLite" not in answer.body
    for asked in (f"/static/{name}", "/static/../app.py", "/static/%2e%2e/app.py"):
        assert plant.clients["viewer"].ask("GET", asked).status == 404
