"""The terminal that commands print on: it obeys our colours, and nothing else that is printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from reconciler.text import printable

_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")


class Terminal:
    """A stream that ends on a terminal: of what is written to it, only colours are obeyed.

    Names, fields and messages come from tenants and clusters, and a terminal may be told to hide or retype lines, or to
    put text into the clipboard. Into a pipe everything goes as it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        parts = _COLOURS.split(text)  # every second one is a colour
        self._stream.write("".join(part if index % 2 else printable(part) for index, part in enumerate(parts)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_terminals() -> None:
    """Let nothing that this process prints be obeyed by the terminal that it is on."""
    sys.stdout, sys.stderr = (_guarded(stream) for stream in (sys.stdout, sys.stderr))


def _guarded(stream: Any) -> Any:
    return Terminal(stream) if stream is not None and stream.isatty() else stream
