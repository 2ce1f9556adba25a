"""Child processes: started so that none outlives us, and stopped so that none is left.

On Linux a child is killed by the kernel when the thread that started it ends (`PR_SET_PDEATHSIG`), so start long-lived
children from the main thread. Elsewhere there is no such thing, and `stop` must be called.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Limits", "die_with_parent", "give_back_memory", "kill_group", "spawn", "stop"]

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec must not take the loader's lock.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel lets a child use; None is no limit."""

    memory_bytes: int | None = None
    """Private writable memory (RLIMIT_DATA). Address space is not limited: a Go runtime reserves far more than it uses."""
    cpu_s: int | None = None
    file_bytes: int | None = None


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    limits: Limits | None = None,
    new_session: bool = True,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child that dies with us. With `new_session` a Ctrl-C in our terminal reaches us only, not it."""
    return subprocess.Popen(
        [str(part) for part in argv],
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=new_session,
        preexec_fn=_before_exec(limits, os.getpid()),
        pass_fds=tuple(pass_fds),
    )


def stop(process: subprocess.Popen[bytes], *, grace_s: float = 5.0) -> int:
    """End a child: SIGTERM, then SIGKILL to its whole group after the grace time. Returns its exit status."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(grace_s)
        kill_group(process)
    return process.wait()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child, and everything in its session's process group when it leads one."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread that forked it ends; `parent` is the process that it must be a
    child of. Ends at once when that one died meanwhile. Does nothing where there is no such thing."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _before_exec(limits: Limits | None, parent: int) -> Callable[[], None]:
    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died between fork and prctl
                os._exit(1)
        if limits is not None:
            _set_limits(limits)

    return prepare


def _set_limits(limits: Limits) -> None:
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        if value is not None:
            resource.setrlimit(kind, (value, value))


def give_back_memory() -> None:
    """Have the C library return what was freed to the system, after something large and rare; glibc keeps it otherwise."""
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
