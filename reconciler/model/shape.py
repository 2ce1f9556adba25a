"""The common shape of everything that people write: frozen, closed to unknown fields, camelCase outside, Go durations."""

from __future__ import annotations

import functools
import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
LONGEST_S = 100 * 365 * 86400.0
MOST_TEXT = 32
"""Characters of a duration: digits without a unit are looked at once from each of them, 13 s for 20,000."""
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(value: object) -> object:
    """A Go duration (`1h30m`, `90s`, `250ms`, `0`) as a timedelta; anything else unchanged, for pydantic to refuse."""
    if isinstance(value, timedelta):
        return value
    found = _of_go(value) if isinstance(value, str) and len(value) <= MOST_TEXT else None
    if found is None:
        raise ValueError("expected a duration such as 90s, 15m or 1h30m, of a hundred years at most")
    return found


@functools.lru_cache(maxsize=256)
def _of_go(text: str) -> timedelta | None:
    """A fleet has few different ones, each a thousand times."""
    if text in ("0", "0s"):
        return timedelta(0)
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return timedelta(seconds=seconds) if seconds <= LONGEST_S else None


def format_duration(value: timedelta) -> str:
    """The shortest Go duration that means `value`."""
    seconds = value.total_seconds()
    if seconds == 0:
        return "0s"
    if seconds != int(seconds):
        return f"{int(seconds * 1000)}ms"
    text, rest = "", int(seconds)
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|(\d+(\.\d+)?(ms|h|m|s))+)$", "examples": ["90s", "1h30m"]}),
]


class Spec(BaseModel):
    """The common shape: frozen, camelCase outside, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)
