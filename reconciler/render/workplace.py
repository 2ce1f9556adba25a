"""Private folders on disk for what Go programs need as files: made for one render, gone after it.

A process that was killed leaves its folder behind. Each workplace holds a lock on its own folder while it lives, and one
that opens beside others removes those whose lock nobody holds any more.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reconciler.errors import InvalidManifest

_LOCK = ".render-lock"


class Workplace:
    """A folder that only we may enter. Nothing is made before it is needed."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._lock: int | None = None

    def opened(self) -> Path:
        """The folder, made and locked at the first call; leftovers of the dead are removed then."""
        if self._lock is None:
            self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._work.chmod(0o700)
            self._lock = _locked(self._work)
            for leftover in self._work.glob("render-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            _sweep(self._work)
        return self._work

    @contextmanager
    def folder(self, files: Mapping[str, bytes], links: Mapping[str, str]) -> Iterator[Path]:
        """A folder with exactly these files and links (paths from its root), removed afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="render-", dir=self.opened()))
        try:
            for path, data in files.items():
                with _naming(path):
                    target = folder / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
            for path, leads_to in links.items():
                with _naming(path):
                    _link(folder, path, leads_to)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder, unless it holds what is not ours."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                (self._work / _LOCK).unlink()
                self._work.rmdir()
            os.close(self._lock)
            self._lock = None


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Raises InvalidManifest in the place of the system's word that a path is too long."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InvalidManifest(f"{path[:200]}…: the file's name is too long to be stored; shorten it") from error


def _link(folder: Path, path: str, leads_to: str) -> None:
    """A relative link, so that it stays inside wherever the folder lies."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(posixpath.relpath(leads_to or ".", posixpath.dirname(path) or "."))


def _locked(folder: Path) -> int | None:
    """A lock on a folder, as a file descriptor; None when another process holds it."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _sweep(work: Path) -> None:
    """Remove the workplaces beside ours whose processes are gone."""
    for lock_file in work.parent.glob(f"*/{_LOCK}"):
        folder = lock_file.parent
        if folder == work:
            continue
        with contextlib.suppress(FileNotFoundError):  # another process sweeps too
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
