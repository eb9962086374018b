"""Anything a program may send to the pages' routes: a refusal in words, never a fault of ours."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI

from inspector.hmi.app import Parts, make_app
from inspector.hmi.settings import read_hmi_settings
from tests.hmi.plant import Client, Plant
from tests.sparkplug.oracles import cached

PYPI = ("schemathesis==4.32.5",)
# a stream has no end, and after leaving nothing more would be let in
LEFT_OUT = ("/api/stream", "/api/session")
EXAMPLES = 15


def schema_of(plant: Plant) -> FastAPI:
    settings = read_hmi_settings(plant.pages.settings)
    parts = Parts.of(settings.model_copy(update={"state_folder": plant.folder / "schema"}))
    app, _ = make_app(parts)
    parts.close()
    return app


@pytest.mark.slow  # a minute
def test_schemathesis_finds_no_fault_of_the_server(plant: Plant, tmp_path: Path) -> None:
    make = [sys.executable, "-m", "venv", "FOLDER"]
    folder = cached("schemathesis", PYPI, make, ["FOLDER/bin/pip", "install", "-q", *PYPI])
    described = schema_of(plant).openapi()
    described["paths"] = {k: v for k, v in described["paths"].items() if k not in LEFT_OUT}
    assert len(described["paths"]) >= 12
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(described), encoding="utf-8")
    client = Client(plant.pages.port)
    assert client.log_in("admin").status == 200
    headers = (
        f"Cookie: {client.cookie}",
        f"Origin: {client.origin}",
        f"X-CSRF-Token: {client.csrf}",
    )
    command = [str(folder / "bin" / "schemathesis"), "run", str(path), "--url", plant.url]
    command += ["--checks", "not_a_server_error", "--max-examples", str(EXAMPLES), "--seed", "7"]
    command += ["--phases", "examples,coverage,fuzzing", "--no-color"]
    for header in headers:
        command += ["--header", header]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300.0, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-4_000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted, done.stdout[-4_000:]
    assert counted[1] == counted[2]
    assert int(counted[1]) > 300
    assert client.ask("GET", "/api/system").status == 200, "it was let in to the end"
    assert "Traceback" not in plant.pages.log()
