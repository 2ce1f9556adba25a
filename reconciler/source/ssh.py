"""Git over SSH, by the `ssh` program (dulwich's own way), which the exchange can kill.

The key and the known hosts lie in this process's memory, where the program reads them by their path below `/proc`: a process
that is killed leaves no key behind. (Where there is no such memory, on a person's Mac, they lie in a private folder for the
time of the connection.) An unknown or changed host key is always refused. The program lets each of its steps time out, but
not the session, and hands on without end what a host writes on its error channel: both are bounded here.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dulwich.client import SSHGitClient, SubprocessSSHVendor, SubprocessWrapper

from reconciler.credentials import Credentials, require_line
from reconciler.model.spec import RepositoryAccess
from reconciler.source.exchange import Exchange

CONNECT_TIMEOUT_S = 5
MOST_WORDS = 64 * 1024
"""Bytes that are read of what the program and the host print."""


@dataclass(frozen=True, slots=True)
class Place:
    """What an SSH URL names."""

    user: str | None
    host: str
    port: int | None
    path: str


def ssh_client(
    access: RepositoryAccess,
    credentials: Credentials,
    exchange: Exchange,
    cleanup: contextlib.ExitStack,
    place: Place,
) -> SSHGitClient:
    """A client for the place, with the credentials of now. Raises CredentialMissing."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", f"ConnectTimeout={CONNECT_TIMEOUT_S}"]
    given = access.credentials
    if given.ssh_key is not None:
        key = cleanup.enter_context(_readable(credentials.text(given.ssh_key) + "\n"))
        options += ["IdentitiesOnly=yes", f"IdentityFile={key}", "IdentityAgent=none"]
    if given.known_hosts is not None:
        known = cleanup.enter_context(_readable(credentials.text(given.known_hosts) + "\n"))
        options += [f"UserKnownHostsFile={known}", "GlobalKnownHostsFile=/dev/null"]
    if given.username is not None:
        require_line(given.username, "username")
    command = shlex.join(["ssh", *(part for option in options for part in ("-o", option))])
    vendor = _Vendor(exchange)
    cleanup.callback(vendor.end)
    user = place.user or given.username
    return SSHGitClient(place.host, port=place.port, username=user, ssh_command=command, vendor=vendor)


class _Vendor(SubprocessSSHVendor):
    """Starts the program, and ends what it started."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._running: list[_Bounded] = []

    def run_command(self, *options: Any, **named: Any) -> SubprocessWrapper:
        made = _Bounded(super().run_command(*options, **named), self._exchange)
        self._running.append(made)
        return made

    def end(self) -> None:
        """dulwich leaves a program running where its host hangs up in the middle."""
        for one in self._running:
            one.proc.kill()
            one.close()


class _Bounded(SubprocessWrapper):
    """The running program: what it hands on is counted, and the exchange can kill it."""

    def __init__(self, started: SubprocessWrapper, exchange: Exchange) -> None:
        self.proc, self.write, self._started = started.proc, started.write, started
        self._exchange = exchange
        self.read = self._counted
        exchange.cut_by(self.proc.kill)

    @property
    def stderr(self) -> _Words:  # type: ignore[override]  # dulwich asks it for lines only
        return _Words(self.proc)

    def close(self, timeout: int | None = 60) -> None:
        super().close(timeout)
        self._exchange.forget(self.proc.kill)

    def _counted(self, size: int | None = -1) -> bytes:
        data = self._started.read(size)
        self._exchange.count(len(data))
        return data


class _Words:
    """What the program and the host printed, up to a limit."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def readlines(self) -> list[bytes]:
        """All lines, read to the program's end. One that prints on and on is killed."""
        assert self._process.stderr is not None
        found = b""
        while more := self._process.stderr.read(MOST_WORDS):
            found += more
            if len(found) > MOST_WORDS:
                self._process.kill()
                break
        return found.splitlines(keepends=True)


@contextlib.contextmanager
def _readable(text: str) -> Iterator[Path]:
    """A path by which a program that we start reads the text. ssh closes what it inherits, so it is our own descriptor."""
    if sys.platform != "linux":
        with tempfile.TemporaryDirectory(prefix="undrift-ssh-") as folder:
            path = Path(folder) / "text"
            path.touch(mode=0o600)
            path.write_text(text)
            yield path
        return
    with open(os.memfd_create("undrift-ssh"), "w+b", buffering=0) as memory:
        os.fchmod(memory.fileno(), 0o600)  # ssh refuses a key that others may read
        memory.write(text.encode())
        yield Path(f"/proc/{os.getpid()}/fd/{memory.fileno()}")
