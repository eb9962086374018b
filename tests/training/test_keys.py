"""A person finds every key of a plan, what it may be, and what it means."""

import pytest

from training.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["keys", *arguments]) == 0
    return capsys.readouterr().out


def test_every_key_is_listed_with_its_values_and_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(capsys)
    for line in (
        "split.golden  (number > 0 < 0.8; default 0.2)",
        "teacher.epochs  (whole number >= 1 <= 10000; required)",
        "student.method  ('kl' | 'soft_labels' | 'mse' | 'standardised' | 'dist'; default 'kl')",
        "student.peers[].model  (text; required)",
        "student.temperature_end  (number > 0; default absent)",
        "quality.allow_uncertified  (true | false; default False)",
        "good  (list of text; required)",
        "synthetic.kinds  (list of 'spot' | 'scratch' | 'patch' | 'zone'; "
        "default ['spot', 'scratch', 'patch'])",
        "synthetic.size  (list of number > 0 <= 1; default [0.04, 0.5])",
        "augment[].options  (dict; default none given)",
    ):
        assert line in text.splitlines()
    assert "Share of each class for the golden set: never trained on" in text


def test_one_section_or_one_key_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "student.views").startswith("student.views  (")
    assert all(line.startswith(("split", "    ")) for line in said(capsys, "split").splitlines())
    assert main(["keys", "students"]) == 78
    assert "'students'" in capsys.readouterr().err


def test_the_terms_of_promote_are_listed_as_its_help_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["promote", "--help"])
    assert "inspector-train keys promote" in " ".join(capsys.readouterr().out.split())
    lines = said(capsys, "promote").splitlines()
    assert "golden_defects_at_least  (whole number >= 0; default 59)" in lines
    assert "overkill_rate_at_most  (number >= 0 <= 1; default 1.0)" in lines
    assert not [line for line in lines if line.startswith("student")]
