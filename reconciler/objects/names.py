"""What may be a name in an object's identity, as far as all kinds agree: it stands in a URL's path, on its own.

Kinds ask for more (most for a DNS label or subdomain, RBAC for less, `system:node`), and the API server says so. What is
refused here would make the API server, or a proxy before it, read another resource's URL, or a terminal obey it.
"""

from __future__ import annotations

import re

LONGEST_NAME = 253
LONGEST_NAMESPACE = 63
LONGEST_KIND = 63
_GROUP = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_VERSION = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def flaw_of_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Why a text is no name or namespace, as the end of a sentence; empty when it is one. `IsValidPathSegmentName` of
    Kubernetes, plus the bar that separates our keys' parts and what can't be printed."""
    if len(text) > longest:
        return f"has {len(text)} characters, and {longest} are the most"
    if text in (".", ".."):
        return "is no name, but a step in a path"
    if found := next((one for one in text if one in "/%|" or not one.isprintable()), ""):
        return f"holds {found!r}, which no name of an object may"
    return ""


def is_api_version(text: str) -> bool:
    """Whether it reads `v1` or `group/v1`. An empty group, `/v1`, would be the core's under another name."""
    group, is_grouped, version = text.rpartition("/")
    return bool(_VERSION.fullmatch(version)) and (not is_grouped or bool(_GROUP.fullmatch(group)))


def is_kind(text: str) -> bool:
    """Whether it may name a kind: letters, digits, `-` and `.`, 63 at most, as CustomResourceDefinitions limit it."""
    return bool(_KIND.fullmatch(text))
