"""Runs child processes and keeps them running: what `undrift up` is made of.

A child that ends by itself is started again after 1, 2, 4 … 30 s; one that ran for a while begins at 1 s again. On SIGINT
or SIGTERM all are ended, in the reverse order of their start, within 10 s; if this process is killed, the kernel ends
them. Children are started from the main thread only, since their life is bound to the thread that started them.
"""

from __future__ import annotations

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
END_WITHIN_S = 8.0


@dataclass
class Child:
    """One program to keep running. `before` runs before each start."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    grace_s: float = 5.0
    before: Callable[[], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    wait_s: float = FIRST_WAIT_S
    start_at_s: float = 0.0


@dataclass
class Supervisor:
    """Keeps children running until told to stop."""

    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def __post_init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def watch_signals(self) -> None:
        """React to SIGINT and SIGTERM by stopping, and to SIGCHLD by looking at once."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def add(self, child: Child) -> None:
        """Start a child and keep it running from now on."""
        self.children.append(child)
        self._start(child)

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
        """End all children, the last started first, together within `END_WITHIN_S`."""
        self.stopping = True
        deadline = time.monotonic() + END_WITHIN_S
        running = [child for child in reversed(self.children) if child.process is not None]
        for child in running:
            assert child.process is not None  # selected above
            child.process.terminate()
        for child in running:
            assert child.process is not None
            grace_s = min(child.grace_s, max(deadline - time.monotonic(), 0.1))
            process.stop(child.process, grace_s=grace_s)
            process.kill_group(child.process)
            child.process = None

    def _start(self, child: Child) -> None:
        if child.before is not None:
            child.before()
        with child.log.open("ab") as output:
            child.process = process.spawn(child.argv, env=child.env, stdout=output, stderr=output)
        child.started_s = time.monotonic()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            log.warning("child_ended", child=child.name, status=child.process.returncode)
            process.kill_group(child.process)
            if now - child.started_s > LONG_LIFE_S:
                child.wait_s = FIRST_WAIT_S
            child.process, child.start_at_s = None, now + child.wait_s
            child.wait_s = min(child.wait_s * 2, LONGEST_WAIT_S)
        elif child.process is None and now >= child.start_at_s:
            log.info("child_started_again", child=child.name)
            self._start(child)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _drain(self) -> None:
        while True:
            try:
                if not os.read(self._read, 512):
                    return
            except BlockingIOError:
                return
