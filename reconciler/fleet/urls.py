"""Repository URLs: which are accepted, and which lie below which.

A Repository's credentials go to every URL below its own, so a URL must mean one place only: no `..`, no query, nothing
encoded in the path, no password, and a prefix ends on a path boundary. `git@host:path` means what
`ssh://git@host/path` means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("https", "http", "ssh", "git+ssh", "file")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_SCP_LIKE = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?P<path>[^/].*|/[^/].*)")
_LOOKS_LIKE_OPTION = re.compile(r"^(?:[a-z+]+://)?(?:[^/@]*@)?-|^(?:[a-z+]+://)?-", re.IGNORECASE)
"""What the `ssh` program would take for one of its options."""
_BAD_TEXT = re.compile(r"[\s\\\x00-\x1f\x7f%?#]")


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL names, compared part by part. `path` has no slash at its end, and no empty or dotted part."""

    scheme: str
    host: str
    port: int | None
    path: str

    def is_below(self, other: Place) -> bool:
        """Whether this is the other place, or inside it."""
        mine, theirs = (self.scheme, self.host, self.port), (other.scheme, other.host, other.port)
        return mine == theirs and (self.path == other.path or self.path.startswith(other.path + "/"))


@lru_cache(maxsize=65536)
def parse(url: str) -> Place:
    """The place of a URL. Raises ValueError with what is accepted; the message never holds a password."""
    if _BAD_TEXT.search(url):
        raise ValueError("a repository URL holds no spaces, backslashes, %-encoding, query or fragment")
    if _LOOKS_LIKE_OPTION.search(url):
        raise ValueError("a repository URL's user and host do not begin with `-`")
    if "://" not in url and (match := _SCP_LIKE.fullmatch(url)):
        return Place("ssh", match["host"].lower(), 22, _path(match["path"]))
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in SCHEMES:
        raise ValueError("expected a URL such as https://…, http://…, ssh://…, file:///… or git@host:path")
    parts = _split(url)
    if parts.password is not None or (scheme in ("http", "https") and parts.username is not None):
        raise ValueError("a URL holds no credentials; reference them in a Repository document")
    if not parts.hostname and scheme != "file":
        raise ValueError("the URL names no host")
    scheme = scheme.removeprefix("git+")
    return Place(scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme), _path(parts.path))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError("the URL's host or port can't be read") from error
    return parts


def is_url(url: str) -> str:
    """The URL unchanged. Raises ValueError when it is none that we accept."""
    parse(url)
    return url


def is_below(url: str, prefix: str) -> bool:
    """Whether a URL is another, or inside it on a path boundary, with the same scheme, host and port."""
    return parse(url).is_below(parse(prefix))


def _path(path: str) -> str:
    parts = path.strip("/").split("/")
    if ".." in parts or "." in parts or (parts != [""] and "" in parts):
        raise ValueError("the path of a repository URL holds no `.`, `..` or empty part")
    return "/" + "/".join(parts) if parts != [""] else ""
