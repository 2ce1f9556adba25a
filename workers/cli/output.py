"""How commands print: tables for people, JSON and YAML for programs, names for pipes. Colour only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
import yaml
from rich.console import Console
from rich.table import Table

API_VERSION = "undrift.dev/v1alpha1"


class Format(StrEnum):
    """The `-o` of every list."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


GOOD, BAD, MIDDLE = "green", "red", "yellow"
COLOURS = {
    "Synced": GOOD,
    "Healthy": GOOD,
    "Idle": "",
    "OutOfSync": MIDDLE,
    "Unknown": MIDDLE,
    "Progressing": MIDDLE,
    "Waiting": MIDDLE,
    "Held": MIDDLE,
    "Failed": BAD,
    "Degraded": BAD,
    "Missing": BAD,
}


def show_json(document: Any) -> None:
    """A document on stdout, with keys in its own order and a newline at the end."""
    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def show_yaml(document: Any) -> None:
    sys.stdout.write(as_yaml(document))


def as_yaml(document: Any) -> str:
    """A document as YAML, with keys in its own order."""
    plain = orjson.loads(orjson.dumps(document, default=str))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def show_list(kind: str, items: Sequence[Mapping[str, Any]], chosen: Format) -> bool:
    """Print a list for programs; False when a table is wanted instead."""
    document = {"apiVersion": API_VERSION, "kind": kind, "items": list(items)}
    if chosen is Format.JSON:
        show_json(document)
    elif chosen is Format.YAML:
        show_yaml(document)
    else:
        return False
    return True


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table as wide as the terminal; into a pipe, one line a row without frames or cuts."""
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        _plain(columns, list(rows))
        return
    made = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        made.add_column(column, no_wrap=not last, overflow="ellipsis" if not last else "fold")
    for row in rows:
        made.add_row(*(_coloured(cell) for cell in row))
    console.print(made)


def _plain(columns: Sequence[str], rows: list[Sequence[str]]) -> None:
    widths = [max(len(row[index]) for row in [columns, *rows]) for index in range(len(columns))]
    for row in [columns, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _coloured(cell: str) -> str:
    colour = COLOURS.get(cell, "")
    text = cell.replace("[", r"\[")
    return f"[{colour}]{text}[/]" if colour else text


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, or in how long, in one unit."""
    if at is None:
        return "-"
    seconds = (now - at).total_seconds()
    sign, size = ("in ", -seconds) if seconds < 0 else ("", seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if size >= length:
            return f"{sign}{int(size // length)}{unit}"
    return f"{sign}{int(size)}s"
