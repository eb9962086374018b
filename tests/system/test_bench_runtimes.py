"""`inspector bench --runtimes`, as a person at the station uses it."""

import json
from pathlib import Path

import pytest

from inspector.bench_runtimes import Row, choose
from inspector.runtime.choice import ChosenFile
from tests.support import make_bundle, run_inspector, write_station


def test_every_runtime_is_measured_and_auto_takes_the_recorded_one(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    counter = tmp_path / "counter"
    counter.write_text("0\n")
    path = write_station(
        tmp_path,
        bundle,
        runtime={"kind": "auto"},
        recipe={"regions": {"kind": "grid", "rows": 2, "columns": 2}},
        energy={"kind": "file", "path": "counter"},
    )
    before = run_inspector("check", path)
    assert "runtime.json: is not there; inspector bench --runtimes measures" in before.stdout
    out = tmp_path / "out.json"
    done = run_inspector("bench", "--runtimes", path, "--parts", "20", "--json", out)
    assert done.returncode == 0, done.stderr
    assert "4 pictures in one batch, n = 20 parts each" in done.stdout
    assert f"energy: {counter}" in done.stdout
    report = json.loads(out.read_text(encoding="utf-8"))
    for row in report["rows"]:
        assert row["fault"] is None
        assert row["n"] == 20
        assert 0.0 < row["p50_ms"] <= row["p99_ms"]
        assert row["cpu_ms"] > 0.0
        assert row["memory_mb"] > 20.0
        assert row["joules"] == 0.0  # the counter stood still
        assert row["difference"] < 0.01
    recorded = ChosenFile.model_validate_json((tmp_path / "runtime.json").read_bytes())
    chosen = recorded.bundles[bundle.id]
    assert f'kind = "{chosen.kind}"\nthreads = {chosen.threads}' in done.stdout
    after = run_inspector("check", path)
    assert f"runtime: {chosen.kind}" in after.stdout
    assert "runtime.json says so" in after.stdout


def test_a_bundle_that_no_runtime_answers_as_expected_is_not_chosen(tmp_path: Path) -> None:
    def spoil(draft: Path) -> None:
        (draft / "golden" / "good.png").write_bytes((draft / "golden" / "dark.png").read_bytes())

    bundle = make_bundle(tmp_path, spoil=spoil)
    done = run_inspector("bench", "--runtimes", bundle.folder, "--parts", "5")
    assert done.returncode == 1
    assert "onnxruntime, 1 thread    cannot serve: bundle tiny-" in done.stdout
    assert "choose: nothing" in done.stdout


def row(p50_ms: float | None, p99_ms: float) -> Row:
    return Row(
        kind="onnxruntime", threads=1, provider="cpu", words="", p50_ms=p50_ms, p99_ms=p99_ms
    )


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([row(10.0, 12.0), row(9.5, 11.0)], 0),  # not clearly
        ([row(10.0, 12.0), row(5.0, 13.0)], 0),  # quicker, but not always
        ([row(10.0, 12.0), row(8.0, 11.0), row(7.9, 10.0)], 1),
        ([row(None, 1.0), row(8.0, 11.0)], 1),
        ([row(None, 1.0)], None),
    ],
)
def test_only_what_is_clearly_quicker_takes_the_place_of_what_was_judged(
    rows: list[Row], chosen: int | None
) -> None:
    assert choose(rows) == chosen
