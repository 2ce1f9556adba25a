"""What a YAML scalar means to kubectl: the rules of go-yaml v2 behind sigs.k8s.io/yaml, then of Go's JSON.

YAML 1.1 words are booleans (`y`, `on`, `No`), `017` and `0o17` are octal, `1_000` is a number; dates and `1:30` are text.
`as_json` then gives numbers as Go's JSON prints and reads them again: `1.0` is the integer 1, and what does not fit an
int64 is a float. Compared with kubectl itself in `tests/unit/objects/test_yaml_like_kubectl.py`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

IMPLICIT = "implicit"
"""The tag that our composer gives to a plain scalar without one: its look decides."""

_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(_TRUE, True),
    **dict.fromkeys(_FALSE, False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BARE_FLOAT = re.compile(r"\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?\Z")
_LONGEST = 308
"""Digits of a decimal that a float can still hold."""
_NUMERIC_START = frozenset("+-0123456789")
_TYPES: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}


def meaning(text: str, tag: str) -> Any:
    """The value of a scalar. Raises ValueError for a tag that the text, which may be a secret's, does not fit."""
    if tag == IMPLICIT:
        return _plain(text)
    if tag == "tag:yaml.org,2002:binary":
        return _binary(text)
    if tag not in _TYPES:
        return text
    value = _plain(text)
    if not isinstance(value, _TYPES[tag]) or (isinstance(value, bool) and not tag.endswith(":bool")):
        raise ValueError(f"a text does not fit its tag !!{tag.rpartition(':')[2]}")
    return value


def as_json(value: Any) -> Any:
    """A number as Go's JSON passes it on: an integer when an int64 can hold it, else a float. Others as they are."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**63:
        return int(value)
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMERIC_START:
        return _number(text)
    if text[0] == "." and _BARE_FLOAT.match(text):
        return _float(text.replace("_", ""), text)
    return text


def _number(text: str) -> Any:
    digits = text.replace("_", "")
    if _INT.match(digits) and (value := _integer(digits)) is not None:
        return value
    if _FLOAT.match(digits):
        return _float(digits, text)
    return text


def _integer(digits: str) -> int | None:
    """None when Go's parser takes it for no integer: above 64 bits, save decimals, which stay exact as long as they can."""
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if digits[0] != "0":
        return sign * int(digits) if len(digits) <= _LONGEST else None
    base = {"x": 16, "b": 2, "o": 8}.get(digits[1:2].lower())
    value = sign * (int(digits[2:], base) if base else int(digits, 8))
    return value if -(2**63) <= value < 2**64 else None


def _float(digits: str, text: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else text


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text.replace("\n", "").replace(" ", ""), validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise ValueError("!!binary text is not base64") from error
