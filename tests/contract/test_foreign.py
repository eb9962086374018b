"""JSON that others sent: what is read can be written, stored and computed with."""

import json
import math
from typing import Any

import pytest

from inspector.contract.foreign import VALUE_DEPTH_MAX, foreign_json


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"seq":1,"part":{"id":null}}', {"seq": 1, "part": {"id": None}}),
        ('{"reason":"größer als 3 µm"}'.encode(), {"reason": "größer als 3 µm"}),
        (rb'{"reason":"gr\u00f6\u00dfer"}', {"reason": "größer"}),
        (rb'["\ud83d\ude00", "\\ud800 spelled out"]', ["😀", r"\ud800 spelled out"]),
        (b"[9223372036854775807,-9223372036854775808]", [2**63 - 1, -(2**63)]),
        (b"[1.7976931348623157e308,-0.0,1e-999]", [1.7976931348623157e308, -0.0, 0.0]),
        (b"[" * VALUE_DEPTH_MAX + b"]" * VALUE_DEPTH_MAX, None),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 40),
        (b"7", 7),
    ],
)  # fmt: skip
def test_what_is_json_is_read_as_it_is(payload: bytes, found: Any) -> None:
    assert found is None or foreign_json(payload) == found
    assert json.dumps(foreign_json(payload), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"seq":1e999}', "computed with"),
        (b'{"seq":-1e999}', "computed with"),
        (b'{"seq":' + b"9" * 400 + b".0}", "computed with"),
        (b'{"score":NaN}', "holds NaN"),
        (b'{"score":Infinity}', "holds Infinity"),
        (b'{"score":-Infinity}', "holds -Infinity"),
        (b'{"seq":9223372036854775808}', "64 bits"),
        (b'{"seq":-9223372036854775809}', "64 bits"),
        (b'{"score":' + b"1" * 401 + b"}", "64 bits"),
        (b"-" + b"1" * 900_000, "64 bits"),
        (rb'{"cause":"\ud800"}', "surrogates"),
        (rb'{"\udfff":1}', "surrogates"),
        (rb'{"cause":"\ude00\ud83d"}', "surrogates"),
        (b'{"cause":"\xed\xa0\x80"}', "utf-8"),
        (b'{"cause":"\xff"}', "utf-8"),
        ('{"seq":1}'.encode("utf-16"), "utf-8"),
        ('{"seq":1}'.encode("utf-16-le"), "Expecting|Extra|Invalid"),
        ('{"seq":1}'.encode("utf-32"), "utf-8"),
        (b'\xef\xbb\xbf{"seq":1}', "BOM"),
        (b'{"seq":1,"seq":2}', "a key twice"),
        (b'[{"station":{"a":1,"a":1}}]', "a key twice"),
        (b"[" * (VALUE_DEPTH_MAX + 1) + b"]" * (VALUE_DEPTH_MAX + 1), "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"", "Expecting|Extra|Invalid"),
        (b"{", "Expecting|Extra|Invalid"),
        (b'{"seq":1}{"seq":2}', "Expecting|Extra|Invalid"),
        (b'{"seq":01}', "Expecting|Extra|Invalid"),
        (b"{'seq':1}", "Expecting|Extra|Invalid"),
        (b'{"reason":"a\nb"}', "Expecting|Extra|Invalid"),
    ],
    ids=range(29),
)
def test_what_no_other_program_could_read_or_write_again_is_refused(
    payload: bytes, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        foreign_json(payload)


def test_no_number_that_is_read_is_beyond_a_float() -> None:
    assert math.isfinite(float(foreign_json(b"9223372036854775807")))
