"""The common shape of everything that people write: frozen, closed to unknown fields, camelCase outside, Go durations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(value: object) -> object:
    """A Go duration (`1h30m`, `90s`, `250ms`, `0`) as a timedelta; anything else unchanged, for pydantic to refuse."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        if value in ("0", "0s"):
            return timedelta(0)
        parts = _DURATION_PART.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            return timedelta(seconds=sum(float(number) * _UNIT_S[unit] for number, unit in parts))
    raise ValueError("expected a duration such as 90s, 15m or 1h30m")


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
