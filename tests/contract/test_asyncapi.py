"""The contract as a document: what was promised stays, and strangers can read it."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest

from inspector.contract.asyncapi import VERSION, document
from inspector.contract.channels import CHANNELS, Channel
from inspector.contract.topics import ConsumerPlace, Place

HERE = Path(__file__).parent
SNAPSHOT = HERE.parent / "data" / f"asyncapi-v{VERSION}.json"
PARSER = "@asyncapi/parser@3.6.6"


def test_the_document_is_the_one_we_promised() -> None:
    """A change is a new VERSION and a new file: inspector schema asyncapi > tests/data/..."""
    assert document() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_topic_of_a_station_is_in_the_document() -> None:
    place = Place.of("{root}", "{station}")
    topics = {getattr(place, field.name) for field in dataclasses.fields(place)}
    topics.remove(place.consumers)  # the level above a consumer's own
    own = place.consumer("{consumer}")
    topics |= {getattr(own, field.name) for field in dataclasses.fields(ConsumerPlace)}
    assert topics == {channel["address"] for channel in document()["channels"].values()}


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
def test_every_example_obeys_its_schema(channel: Channel) -> None:
    described = document()
    (example,) = described["components"]["messages"][channel.name]["examples"]
    schema = {
        "$ref": f"#/components/schemas/{channel.model.__name__}",
        "components": described["components"],
    }
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(example["payload"])
    broken = {**example["payload"], "unheard_of": 1}
    assert not validator.is_valid(broken)
    if channel.name != "replayed":  # a row inside may be of an older schema
        assert channel.model.model_validate(example["payload"]) == channel.example


@pytest.mark.slow  # npm fetches the validator: some 15 s
def test_an_independent_validator_finds_no_fault_and_would_find_one(tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs npm, for @asyncapi/parser")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", PARSER]
    done = subprocess.run(
        [*command, "--prefix", tmp_path], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {PARSER}: {done.stderr[-200:]}")

    def faults(path: Path) -> list[str]:
        script = HERE.parent / "node" / "validate_asyncapi.mjs"
        said = subprocess.run(
            [node, script, tmp_path, path], capture_output=True, text=True, check=True
        ).stdout
        return [line for line in said.splitlines() if not line.startswith("info ")]

    assert faults(SNAPSHOT) == []
    spoilt = document()
    spoilt["operations"]["result"]["channel"]["$ref"] = "#/channels/nowhere"
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(spoilt), encoding="utf-8")
    assert faults(path)
