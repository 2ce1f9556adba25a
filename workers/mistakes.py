"""What is told of a mistake of Undrift itself: its kind and its place. Its words may hold what is secret."""

from __future__ import annotations

import traceback

BROKEN = "InternalError"
"""The reason code."""


def told(error: BaseException) -> str:
    """The error's kind, and where it happened, innermost last; files by their place in the packages."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " > ".join(f"{'/'.join(frame.filename.rsplit('/', 2)[-2:])}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} in {place}"


def whole_way(error: BaseException) -> str:
    """The traceback without the error's words, for logs."""
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
