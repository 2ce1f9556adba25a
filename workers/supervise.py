"""Runs child processes and keeps them running: what `undrift up` is made of.

A child that ends by itself is started again after 1, 2, 4 … 30 s; one that ran for a while begins at 1 s again. On SIGINT
or SIGTERM all are ended within 10 s, those that others stand on after the others; if this process is killed, the kernel
ends them. Children are started from the main thread only, since their life is bound to the thread that started them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

from reconciler import process

log = structlog.get_logger()

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
LONG_LIFE_S = 60.0
END_WITHIN_S = 6.0
"""For all children together; what they stand on gets its own grace time after that."""


@dataclass
class Child:
    """One program to keep running, as the leader of a process group of its own."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    grace_s: float = 5.0
    """How long after SIGTERM it is killed."""
    before: Callable[[], None] | None = None
    """Runs before each start."""
    is_ground: bool = False
    """Others stand on it, so it is ended after them."""
    process: subprocess.Popen[bytes] | None = None
    started_s: float = field(default_factory=time.monotonic)
    wait_s: float = FIRST_WAIT_S
    start_at_s: float = 0.0
    starts: int = 0

    def wait_before_next(self, lived_s: float) -> float:
        """Seconds until it may start again, having lived so long; twice as many the next time."""
        if lived_s > LONG_LIFE_S:
            self.wait_s = FIRST_WAIT_S
        wait_s, self.wait_s = self.wait_s, min(self.wait_s * 2, LONGEST_WAIT_S)
        return wait_s


class Supervisor:
    """Keeps children running until told to stop. `tell` gets a line for people when one ends by itself."""

    def __init__(self, tell: Callable[[str], None] = lambda line: None) -> None:
        self._tell = tell
        self.children: list[Child] = []
        self.stopping = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def watch_signals(self) -> None:
        """React to SIGINT, SIGTERM and a closed terminal by stopping, and to SIGCHLD by looking at once."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(signal.SIGHUP, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def add(self, child: Child) -> None:
        """Keep a child running from now on; start it when it does not run yet."""
        self.children.append(child)
        if child.process is None:
            self._start(child)

    def restart(self, name: str) -> None:
        """Kill a child; it is started again as one that ended by itself."""
        for child in self.children:
            if child.name == name and child.process is not None:
                child.wait_s = FIRST_WAIT_S
                _kill_group(child.process)

    def tend(self, timeout_s: float) -> None:
        """Wait for a signal or for the next start that is due, then start again what ended."""
        now = time.monotonic()
        due = [child.start_at_s - now for child in self.children if child.process is None]
        select.select([self._read], [], [], max(min([timeout_s, *due]), 0.0))
        self._drain()
        for child in self.children:
            if not self.stopping:
                self._look_after(child)

    def stop(self) -> None:
        """End all children: first those that stand on others, together, then the others."""
        self.stopping = True
        _end([child for child in self.children if not child.is_ground])
        _end([child for child in self.children if child.is_ground])

    def close(self) -> None:
        """Give back what the supervisor itself holds."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)

    def _start(self, child: Child) -> None:
        child.started_s = time.monotonic()
        child.starts += 1
        try:
            if child.before is not None:
                child.before()
            with child.log.open("ab") as output:
                child.process = process.spawn(child.argv, env=child.env, stdout=output, stderr=output)
        except OSError as error:
            self._put_off(child, str(error))

    def _look_after(self, child: Child) -> None:
        if child.process is not None and child.process.poll() is not None:
            _kill_group(child.process)
            self._put_off(child, f"status {child.process.returncode}")
        elif child.process is None and time.monotonic() >= child.start_at_s:
            log.info("child_started_again", child=child.name)
            self._start(child)

    def _put_off(self, child: Child, why: str) -> None:
        now = time.monotonic()
        wait_s = child.wait_before_next(now - child.started_s)
        child.process, child.start_at_s = None, now + wait_s
        log.warning("child_ended", child=child.name, why=why, again_in_s=wait_s)
        self._tell(f"{child.name} ended ({why}); starts again in {wait_s:.0f} s; its log: {child.log}")

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 512):
                pass


def _end(children: Sequence[Child]) -> None:
    """SIGTERM to all at once, SIGKILL to each when its grace time is over."""
    running = [(child, child.process) for child in children if child.process is not None]
    begun = time.monotonic()
    for _, started in running:
        started.terminate()
    for child, started in sorted(running, key=lambda pair: pair[0].grace_s):
        left_s = begun + min(child.grace_s, END_WITHIN_S) - time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(max(left_s, 0.0))
        _kill_group(started)
        started.wait()
        child.process = None


def _kill_group(started: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child and what it left behind. Its pid names its group also after it ended, as long as members live."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(started.pid, signal.SIGKILL)
