"""Version constraints as Helm reads them (Masterminds/semver): `>=1.25.0-0 <2`, `~1.30`, `^1`, `1.x || >= 2`.

Only what charts use in `kubeVersion`. A cluster's build suffix (`v1.31.2-eks-1234`, `+k3s1`) does not make it older than
its release, since no chart means that.
"""

from __future__ import annotations

import re

Version = tuple[int, int, int]
_PART = re.compile(
    r"(>=|=>|<=|=<|!=|>|<|=|~>|~|\^)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[-+][0-9A-Za-z.+-]*)?"
)
_HYPHEN = re.compile(r"v?([\d.]+)\s+-\s+v?([\d.]+)")
LONGEST = 256
"""As Helm's own; the patterns above take time with the square of a text's length."""
_VERSION = re.compile(r"^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")


def matches(version: str, constraint: str) -> bool:
    """Whether a version meets a constraint. A constraint that can't be read is met by nothing."""
    found = _VERSION.match(version)
    if found is None or len(constraint) > LONGEST:
        return False
    at = (int(found[1]), int(found[2] or 0), int(found[3] or 0))
    return any(_meets_all(at, alternative) for alternative in constraint.split("||"))


def _meets_all(at: Version, text: str) -> bool:
    text = _HYPHEN.sub(r">=\1 <=\2", text)
    parts = list(_PART.finditer(text))
    leftover = _PART.sub("", text).replace(",", "").strip()
    return bool(parts) and not leftover and all(_meets(at, part) for part in parts)


def _meets(at: Version, part: re.Match[str]) -> bool:
    operator = part[1] or "="
    given = [int(piece) for piece in part.groups()[1:] if piece is not None and piece.isdigit()]
    low: Version = (*given, 0, 0, 0)[:3]  # type: ignore[assignment]  # always three
    if operator in (">=", "=>"):
        return at >= low
    if operator == "<":
        return at < low
    if operator == ">":
        return at > low if len(given) == 3 else at >= _next(given)
    if operator in ("<=", "=<"):
        return at <= low if len(given) == 3 else at < _next(given)
    if operator == "!=":
        return not low <= at < _next(given)
    if operator in ("~", "~>"):
        return low <= at < _next(given[:2])
    if operator == "^":
        return low <= at < _next(given[: 1 if not given or given[0] else 2])
    return low <= at < _next(given)


def _next(given: list[int]) -> Version:
    """The first version past everything that begins with `given`; `*` is past nothing."""
    if not given:
        return (10**9, 0, 0)
    raised = [*given[:-1], given[-1] + 1]
    return (*raised, 0, 0, 0)[:3]  # type: ignore[return-value]  # always three
