"""Packed charts (`charts/*.tgz`): opened in memory, within bounds, and packed anew from what was seen.

What is looked at here is what Helm then reads, however its reader of archives might take a strange one. Where a packed
chart stands and which of its members count follows Helm's loader: in `charts/`, names not beginning with `_` or `.`, one
folder around everything, links and devices left out.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import re
import tarfile
import zlib
from collections.abc import Mapping

from reconciler.errors import InvalidManifest, RenderLimit
from reconciler.render.reading import MOST_BYTES, MOST_FILES

_PLACE = re.compile(r"(charts/[^/_.][^/]*/)*charts/[^/_.][^/]*\.tgz")
_MOST_LEVELS = 5
_FOLDER = "chart"
"""What Helm cuts from every name; it does not look at which it is."""


def is_packed(name: str) -> bool:
    """Whether Helm takes a chart's file for a packed dependency."""
    return _PLACE.fullmatch(name) is not None


class Opener:
    """Opens the packed charts of one render; their bounds are for all of them together."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._bytes, self._files = MOST_BYTES, MOST_FILES

    def opened(self, files: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The files with each packed chart packed anew, and all that Helm reads, by path as if none were packed.

        Raises InvalidManifest for what is no archive, RenderLimit.
        """
        return self._opened(files, self._path, 0)

    def _opened(self, files: Mapping[str, bytes], at: str, level: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
        if level > _MOST_LEVELS:
            raise RenderLimit(f"{at}: charts packed more than {_MOST_LEVELS} deep", subject=self._path)
        anew, seen = dict(files), dict(files)
        for name in filter(is_packed, files):
            place = f"{at}/{name}".lstrip("/")
            inner, inner_seen = self._opened(self._unpacked(files[name], place), place, level + 1)
            anew[name] = _packed(inner)
            del seen[name]
            seen |= {f"{name}/{below}": data for below, data in inner_seen.items()}
        return anew, seen

    def _unpacked(self, data: bytes, place: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(self._inflated(data, place)), mode="r:") as archive:
                for member in archive:
                    if member.isreg() and not member.issparse():
                        self._files -= 1
                        found[_inside(member.name, place)] = _content(archive, member)
                    if self._files < 0:
                        raise RenderLimit(f"{place}: packed charts hold more than {MOST_FILES} files", subject=place)
        except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
            raise InvalidManifest(
                f"{place} is no packed chart that can be read ({type(error).__name__}); make it anew with "
                "`helm dependency build`",
                subject=place,
            ) from error
        return found

    def _inflated(self, data: bytes, place: str) -> bytes:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            found = stream.read(self._bytes + 1)
        self._bytes -= len(found)
        if self._bytes < 0:
            raise RenderLimit(f"{place}: packed charts hold more than {MOST_BYTES // 1024**2} MiB", subject=place)
        return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    data = content.read() if content is not None else b""
    if len(data) != member.size:
        raise EOFError
    return data


def _inside(name: str, place: str) -> str:
    """A member's path from its chart's folder, as Helm cleans it."""
    parts = posixpath.normpath(name.replace("\\", "/")).split("/")
    if ".." in parts or parts[0] == "" or len(parts) < 2:
        raise InvalidManifest(f"{place}: a member of the archive does not lie in its chart's folder", subject=place)
    return "/".join(parts[1:])


def _packed(files: Mapping[str, bytes]) -> bytes:
    """An archive with nothing but these files, the same for the same."""
    target = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(f"{_FOLDER}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()
