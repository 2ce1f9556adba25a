"""Where programs are kept and where a local installation lives, when nobody says otherwise.

The environment comes as an argument; only the CLI and the tests know the real one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "home_folder"]


def cache_folder(env: Mapping[str, str]) -> Path:
    """UNDRIFT_CACHE, else `undrift` in the user's cache folder (XDG; on macOS ~/Library/Caches)."""
    if named := env.get("UNDRIFT_CACHE"):
        return Path(named).expanduser().absolute()
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "undrift"
    return Path(env.get("XDG_CACHE_HOME") or home / ".cache") / "undrift"


def home_folder(env: Mapping[str, str]) -> Path:
    """UNDRIFT_HOME, else `undrift` in the user's state folder (XDG; on macOS ~/Library/Application Support)."""
    if named := env.get("UNDRIFT_HOME"):
        return Path(named).expanduser().absolute()
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "undrift"
    return Path(env.get("XDG_STATE_HOME") or home / ".local" / "state") / "undrift"
