"""Starts, lists and stops the clusters that belong to one UNDRIFT_HOME.

A cluster runs exactly while somebody holds its lock file: its supervisor, which inherits the lock from the process that
started it and keeps it until the kernel takes it back. The folder of a cluster that no longer runs is removed by
whoever sees it next. `starting` locks make a second start of the same name wait and then find it running.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from reconciler.devcluster import binaries, state
from reconciler.devcluster.binaries import Binaries
from reconciler.devcluster.errors import BadName, ClusterNotRunning, DevClusterError
from reconciler.devcluster.programs import Layout, Order
from reconciler.devcluster.state import Running

__all__ = ["kubeconfig", "running", "start", "stop"]

_ASK_AGAIN_S = 0.02
_END_WITHIN_S = 10.0
_LOCK_WITHIN_S = 130.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
# Supervisors that this process started: a Popen that is collected while its process runs warns.
_STARTED: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster of one home lives, running or not."""

    home: Path
    name: str

    @property
    def parent(self) -> Path:
        return self.home / "dev-clusters"

    @property
    def layout(self) -> Layout:
        return Layout((self.parent / self.name).absolute())

    @property
    def log(self) -> Path:
        """What the supervisor said; outlives the cluster, so that a sudden end can be explained."""
        return self.home / "logs" / f"dev-cluster-{self.name}.log"

    def make(self) -> None:
        """Make the folders around it, for our eyes only."""
        for folder in (self.home, self.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only process that starts or stops this cluster."""
        with self._lock_file("starting") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self) -> IO[str] | None:
        """The lock of the cluster, None while it runs."""
        lock = self._lock_file("lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def await_lock(self, within_s: float) -> IO[str] | None:
        """The lock, as soon as its holder lets go; None when it did not in time. The kernel gives no event for it."""
        deadline = time.monotonic() + within_s
        while (lock := self.claim()) is None and time.monotonic() < deadline:
            time.sleep(_ASK_AGAIN_S)
        return lock

    def _lock_file(self, kind: str) -> IO[str]:
        return (self.parent / f".{self.name}.{kind}").open("w")


def start(
    names: Sequence[str],
    home: Path,
    *,
    cache: Path,
    env: Mapping[str, str],
    bare: bool = False,
    audit: bool = False,
    bound: bool = False,
    progress: binaries.Progress = binaries.silent,
) -> list[Running]:
    """Start these clusters side by side, or find them running; returns when all are ready.

    `bound`: they end with the calling process, however it ends. When one can't start, those that this call started are
    stopped again. Raises DevClusterError, BinariesMissing.
    """
    places = [_place(home, name) for name in dict.fromkeys(names)]
    for place in places:
        place.make()
    with contextlib.ExitStack() as locks:
        for place in sorted(places, key=lambda place: place.name):
            locks.enter_context(place.starting())
        known = {place: found for place in places if (found := _find(place))}
        for found in known.values():
            _require(found, bare=bare, audit=audit)
        absent = [place for place in places if place not in known]
        if absent:
            programs = binaries.find(cache, env, bare=bare, progress=progress)
            known |= _start_all(absent, programs, bare=bare, audit=audit, bound=bound, progress=progress)
    return [known[place] for place in places]


def running(home: Path) -> list[Running]:
    """The clusters of this home that run, by name. Folders of those that no longer do are removed."""
    found = [_find(_place(home, path.name)) for path in sorted((home / "dev-clusters").glob("[!.]*"))]
    return [cluster for cluster in found if cluster]


def stop(home: Path, name: str) -> None:
    """End a cluster; returns when nothing of it is left. Raises ClusterNotRunning."""
    place = _place(home, name)
    if not place.parent.is_dir():
        raise _not_running(home, name)
    with place.starting():
        found = _find(place)
        if found is None:
            raise _not_running(home, name)
        _end(place, found.pid)


def kubeconfig(home: Path, name: str) -> str:
    """The admin kubeconfig of a running cluster. Raises ClusterNotRunning."""
    found = _find(_place(home, name))
    if found is None:
        raise _not_running(home, name)
    return state.kubeconfig_text(found)


def _place(home: Path, name: str) -> Place:
    if not _NAME.fullmatch(name):
        raise BadName(
            f"{name!r} can't name a dev cluster: lower-case letters, digits and hyphens, at most 42", subject=name
        )
    return Place(home.expanduser().absolute(), name)


def _find(place: Place) -> Running | None:
    """The cluster when it runs; what is left of one that does not is removed."""
    if not place.parent.is_dir():
        return None
    lock = place.claim()
    if lock is None:
        return state.load_state(place.layout)
    with lock:
        shutil.rmtree(place.layout.folder, ignore_errors=True)
    return None


def _end(place: Place, pid: int) -> None:
    """End a supervisor and wait until its lock is free; one that does not listen is killed, its programs with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if lock := place.await_lock(_END_WITHIN_S):
            with lock:
                shutil.rmtree(place.layout.folder, ignore_errors=True)
            _reap(pid)
            return
    raise DevClusterError(f"{place.name}: process {pid} holds on to it even after SIGKILL", subject=place.name)


def _require(found: Running, *, bare: bool, audit: bool) -> None:
    missing = "controllers" if found.bare and not bare else "an audit log" if audit and not found.audit_log else ""
    if missing:
        raise DevClusterError(
            f"{found.name} runs already, without {missing}; stop it first: undrift dev-cluster stop {found.name}",
            subject=found.name,
        )


def _start_all(
    places: Sequence[Place], programs: Binaries, *, bare: bool, audit: bool, bound: bool, progress: binaries.Progress
) -> dict[Place, Running]:
    starts: list[Starting] = []
    try:
        for place in places:
            progress(f"{place.name}: starting")
            starts.append(Starting(place, programs, bare=bare, audit=audit, bound=bound))
        ready = {each.place: each.ready() for each in starts}
    except BaseException:
        for each in starts:
            each.abandon()
        raise
    return ready


class Starting:
    """A supervisor on its way up."""

    def __init__(self, place: Place, programs: Binaries, *, bare: bool, audit: bool, bound: bool) -> None:
        self.place = place
        # Held here: by a cluster that is just ending, or by one whose starter was killed; both let go soon.
        lock = place.await_lock(_LOCK_WITHIN_S)
        if lock is None:
            raise DevClusterError(f"{place.name} is neither ready nor gone; look at {place.log}", subject=place.name)
        answer, ready_fd = os.pipe()
        self._answer = os.fdopen(answer, "rb")
        try:
            shutil.rmtree(place.layout.folder, ignore_errors=True)
            place.layout.folder.mkdir(mode=0o700)
            order = Order(
                name=place.name,
                folder=str(place.layout.folder),
                binaries={name: str(path) for name, path in programs.paths.items()},
                bare=bare,
                audit=audit,
                parent=os.getpid() if bound else 0,
                ready_fd=ready_fd,
                lock_fd=lock.fileno(),
            )
            self._process = _launch(order, place)
        finally:
            os.close(ready_fd)
            lock.close()

    def ready(self) -> Running:
        """Wait for the supervisor's answer. Raises DevClusterError with what it said."""
        with self._answer as answer:
            text = answer.read()
        outcome = json.loads(text) if text else {"error": "its supervisor ended without a word"}
        found = state.load_state(self.place.layout) if "ready" in outcome else None
        if found is None:
            said = outcome.get("error", "it ended at once")
            raise DevClusterError(f"{self.place.name} did not start: {said}", subject=self.place.name)
        return found

    def abandon(self) -> None:
        """End it, whatever state it is in, and wait until it is gone."""
        self._answer.close()
        self._process.terminate()
        self._process.wait()
        _reap(self._process.pid)


def _launch(order: Order, place: Place) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own: a Ctrl-C in this terminal is not for it, and it may outlive us."""
    with place.log.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "reconciler.devcluster.supervisor", json.dumps(asdict(order))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=place.layout.folder,
            pass_fds=(order.ready_fd, order.lock_fd),
        )
    _STARTED.append(child)
    return child


def _reap(pid: int) -> None:
    """Collect the exit status of a supervisor that ended, if it was our child, so that no zombie of it stays."""
    for child in _STARTED:
        if child.pid == pid:
            child.wait()
    _STARTED[:] = [child for child in _STARTED if child.poll() is None]


def _not_running(home: Path, name: str) -> ClusterNotRunning:
    others = ", ".join(cluster.name for cluster in running(home)) or "none"
    return ClusterNotRunning(f"no dev cluster {name!r} runs in {home} (running: {others})", subject=name)
