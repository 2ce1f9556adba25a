"""The one process that owns a cluster: starts its programs, says when it is ready, ends all of them when it ends.

`python -m reconciler.devcluster.supervisor ORDER` (JSON) is started by `cluster.start`. It holds the cluster's lock for
its whole life, so "running" is a question to the kernel, not to a pid file. A program that ends is started again, on the
same data, port and certificate; one that ends four times in a minute takes the cluster with it. It ends on SIGTERM,
SIGINT or SIGHUP, and, when bound, with the process that started it. Its programs end with it even when it is killed
(`reconciler.process`). The order's `ready_fd` gets one line of JSON: the outcome of the start.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler import process
from reconciler.devcluster import nodes, programs, rest, state
from reconciler.devcluster.binaries import Binaries
from reconciler.devcluster.errors import DevClusterError
from reconciler.devcluster.programs import Layout, Order, Program, Tokens

__all__ = ["main"]

_READY_WITHIN_S = 120.0
_LOOK_FOR_PARENT_S = 0.5
_IN_VAIN_ENDS, _IN_VAIN_S = 4, 60.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """We were asked to end, or our parent ended."""


@dataclass(slots=True)
class Child:
    """A program that runs, and when it ended lately."""

    program: Program
    process: subprocess.Popen[bytes]
    ends: list[float] = field(default_factory=list)


class Supervisor:
    """Owns the programs of one cluster."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._layout = Layout(Path(order.folder))
        self._tokens = Tokens(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        self._children: list[Child] = []
        self._wake, self._signals = socket.socketpair()
        self._parent = _watch(order.parent)

    def start(self) -> None:
        """Bring the cluster up to ready. Raises DevClusterError with a program's last words, or Stopped."""
        binaries = Binaries({name: Path(path) for name, path in self._order.binaries.items()})
        programs.write_inputs(self._layout, self._tokens)
        self._port = _hold_port()
        port = self._port.getsockname()[1]
        self._spawn(programs.servers(binaries, port, audit=self._order.audit))
        self._until("the API server's certificate", self._layout.certificate.is_file)
        api = rest.Api(f"https://127.0.0.1:{port}", self._layout.certificate, self._tokens.admin)
        with contextlib.closing(api):
            self._until("the API server", lambda: api.answers("/readyz"))
            # /readyz answers before the server has made its own namespaces.
            self._until("the default namespace", lambda: api.answers("/api/v1/namespaces/default"))
            known = state.describe(
                self._order.name, self._layout, port, self._tokens, bare=self._order.bare, audit=self._order.audit
            )
            state.write_private(self._layout.kubeconfig, state.kubeconfig_text(known))
            if not self._order.bare:
                self._start_controllers(binaries, api)
        state.write_state(self._layout, known)

    def watch(self) -> None:
        """Start again what ends, for ever. Raises Stopped when we are to end, DevClusterError when it is in vain."""
        while True:
            self._pause(None)
            for child in self._children:
                if child.process.poll() is not None:
                    self._start_again(child)

    def end(self) -> None:
        """Kill the programs (their data is temporary) and remove the folder."""
        # First of all nobody may find the cluster any more.
        self._layout.state.unlink(missing_ok=True)
        for child in reversed(self._children):
            process.kill_group(child.process)
        for child in self._children:
            child.process.wait()
        shutil.rmtree(self._layout.folder, ignore_errors=True)

    def listen(self) -> None:
        """Take signals as data on a socket, so that a wait ends at once and nothing runs in a handler."""
        self._signals.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def _start_controllers(self, binaries: Binaries, api: rest.Api) -> None:
        self._layout.stages.write_text(nodes.stages())
        for node in nodes.NODES:
            self._until(f"the making of {node}", lambda node=node: api.create("/api/v1/nodes", nodes.body(node)))  # type: ignore[misc]  # default argument
        self._spawn(programs.controllers(binaries, self._layout))
        self._until("the readiness of the nodes", lambda: nodes.are_ready(api.get("/api/v1/nodes")))

    def _spawn(self, wanted: Sequence[Program]) -> None:
        self._children += [Child(program, self._run(program)) for program in wanted]

    def _run(self, program: Program) -> subprocess.Popen[bytes]:
        with self._layout.log(program.name).open("ab") as log:
            return process.spawn(program.argv, cwd=self._layout.folder, stdout=log, stderr=subprocess.STDOUT)

    def _start_again(self, child: Child) -> None:
        now = time.monotonic()
        child.ends = [at for at in child.ends if now - at < _IN_VAIN_S] + [now]
        if len(child.ends) >= _IN_VAIN_ENDS:
            raise self._ended(child)
        print(self._ended(child), file=sys.stderr, flush=True)
        self._pause_fully(2.0 ** (len(child.ends) - 1))
        child.process = self._run(child.program)

    def _pause_fully(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._pause(left)

    def _until(self, what: str, question: rest.Question) -> None:
        rest.wait_until(what, question, within_s=_READY_WITHIN_S, pause=self._look)

    def _look(self) -> None:
        self._pause(rest.ASK_AGAIN_S)
        self._check()

    def _pause(self, seconds: float | None) -> None:
        """Wait for a signal, the parent's end, or the time."""
        ready: list[socket.socket | int] = [self._wake, *([self._parent] if self._parent is not None else [])]
        if self._order.parent and self._parent is None:
            seconds = min(seconds or _LOOK_FOR_PARENT_S, _LOOK_FOR_PARENT_S)
        readable, _, _ = select.select(ready, [], [], seconds)
        if self._parent in readable or (self._order.parent and os.getppid() != self._order.parent):
            raise Stopped
        if self._wake in readable and set(self._wake.recv(256)) & set(_SIGNALS):
            raise Stopped

    def _check(self) -> None:
        for child in self._children:
            if child.process.poll() is not None:
                raise self._ended(child)

    def _ended(self, child: Child) -> DevClusterError:
        name, log = child.program.name, self._layout.log(child.program.name)
        return DevClusterError(f"{name} ended with status {child.process.returncode}:\n{_tail(log)}")


def main(argv: Sequence[str]) -> int:
    """Run one cluster until it is to end."""
    order = Order(**json.loads(argv[1]))
    supervisor = Supervisor(order)
    supervisor.listen()
    try:
        supervisor.start()
        _answer(order.ready_fd, {"ready": True})
        supervisor.watch()
    except Stopped:
        return 0
    except (DevClusterError, OSError) as error:
        print(error, file=sys.stderr, flush=True)
        _answer(order.ready_fd, {"error": str(error)})
        return 1
    finally:
        supervisor.end()
    return 0


def _answer(fd: int, outcome: dict[str, object]) -> None:
    try:
        os.write(fd, json.dumps(outcome).encode())
        os.close(fd)
    except BrokenPipeError:
        raise Stopped from None  # whoever asked for this cluster is gone
    except OSError:
        pass  # answered before: this is a later failure, which stands in the log


def _hold_port() -> socket.socket:
    """A free port of this machine, ours for as long as the socket is open."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _watch(parent: int) -> int | None:
    """A file descriptor that becomes readable when the parent ends, None where there is no such thing."""
    if not parent or not hasattr(os, "pidfd_open"):
        return None
    with contextlib.suppress(OSError):
        return os.pidfd_open(parent)
    return None


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-8:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
