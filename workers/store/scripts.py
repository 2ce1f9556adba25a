"""The Lua scripts of the store: each step of it happens whole or not at all."""

from __future__ import annotations

from functools import cache
from importlib import resources

QUEUE = (
    "mark",
    "grant",
    "claim",
    "extend",
    "step",
    "complete",
    "release",
    "expire",
    "forget",
    "boot",
    "shut",
    "missing",
)
"""The scripts that share `queue.lua`."""


@cache
def script(name: str) -> str:
    """The text of a script, with what those of the queue share before it."""
    folder = resources.files("workers.store") / "lua"
    shared = (folder / "queue.lua").read_text() if name in QUEUE else ""
    return shared + (folder / f"{name}.lua").read_text()
