"""The pages' texts: both languages whole, nothing is said that has no text."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from inspector.contract.result import NAMES
from inspector.contract.status import AlarmKind, StateName
from inspector.contract.verdict import Cause
from inspector.delivery.review_policy import Interest
from inspector.hmi.access import COMMANDS, DANGEROUS, ROLES
from inspector.hmi.pages import APART, PAGES, STATIC
from inspector.station.attest_rule import FIGURES

MODULES = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]


def texts(language: str) -> dict[str, str]:
    path = STATIC / "messages" / f"{language}.json"
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_both_languages_have_the_same_keys_and_the_same_words_to_fill_in() -> None:
    english, german = texts("en"), texts("de")
    assert set(english) == set(german)
    for key, message in english.items():
        assert message.strip(), key
        assert sorted(re.findall(r"\{\w+\}", message)) == sorted(
            re.findall(r"\{\w+\}", german[key])
        )


def test_every_text_a_page_asks_for_is_there() -> None:
    asked = set()
    for path in MODULES:
        code = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"""\bt\("([a-z_]+\.[A-Za-z_]+)\"""", code))
    assert len(asked) > 80
    assert asked - set(texts("en")) == set()


def test_every_word_of_the_contract_has_a_text() -> None:
    needed = {f"state.{each}" for each in get_args(StateName)}
    needed |= {f"evaluation.{each}" for each in NAMES.values()}
    needed |= {f"cause.{each}" for each in get_args(Cause)}
    needed |= {f"alarm.{each}" for each in get_args(AlarmKind)}
    needed |= {f"role.{each}" for each in ROLES} | {f"page.{each}" for each in PAGES.values()}
    needed |= {f"interest.{each}" for each in get_args(Interest)}
    needed |= {f"figure.{each}" for each in FIGURES}
    needed |= {f"command.{each}" for each in COMMANDS} | {f"confirm.{each}" for each in DANGEROUS}
    assert needed - set(texts("en")) == set()
    history = (STATIC / "pages" / "history.js").read_text(encoding="utf-8")
    assert all(f'"{each}"' in history for each in get_args(Cause))


def test_every_refusal_of_the_server_has_a_text() -> None:
    said = set()
    for path in STATIC.parent.glob("*.py"):
        code = path.read_text(encoding="utf-8")
        said |= set(re.findall(r'HTTPException\(\d+, "(\w+)"', code))
        said |= set(re.findall(r'"error": "(\w+)"', code))
        said |= set(re.findall(r'return \d{3}, "(\w+)"', code))
        said |= set(re.findall(r'_require\(.*, "(\w+)"\)', code))
    said -= {
        "host",
        "plaintext",
        "too_long",
        "wait",
        "no_picture",
        "no_archive",
    }  # no person meets them as words
    assert said - {key.removeprefix("error.") for key in texts("en")} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_makes_code_or_markup_of_text(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc",
                "new Function", "DOMParser", "javascript:", "http://", "https://"):  # fmt: skip
        assert way not in code.replace('"http://www.w3.org/2000/svg"', ""), way


def test_every_page_has_its_module_and_uplot_its_licence() -> None:
    for name in (*PAGES.values(), *APART.values()):
        assert (STATIC / "pages" / f"{name}.js").is_file()
    assert "MIT" in (STATIC / "vendor" / "uplot" / "LICENSE").read_text(encoding="utf-8")
