"""What may be shown of text that others wrote: no more than a screenful, and nothing that a terminal obeys."""

from __future__ import annotations

import re

MOST = 4096
"""Characters of one message: it is kept in Redis, in the record and in events, and sent in notices."""
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, those that turn the direction of what follows, and halves of a character."""


def bounded(text: str, most: int = MOST) -> str:
    """The text, or both ends of it: where something went wrong stands in front or at the end."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 3]} … {text[-end:]}"


def printable(text: str) -> str:
    """The text with what a terminal would obey written as in Python: `\\x1b`."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)
