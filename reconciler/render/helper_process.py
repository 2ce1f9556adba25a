"""Our end of the render helper: one spawned process that holds the Go code, replaced whenever it dies or is too slow.

Each request gets a private folder with exactly the files it may read, which is gone when it was answered. The helper has
the kernel's limit on its data memory; time and the size of the answer are limited here. A helper that hung or died takes
nothing with it but the one render that it was busy with.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from reconciler import process
from reconciler.errors import BACKOFF, RenderLimit, TemplateFailed
from reconciler.render import helper, hiding
from reconciler.render.workplace import Workplace

_LENGTH = struct.Struct(">Q")
RENDERS_PER_HELPER = 2000
"""A helper is replaced after so many renders, whatever it holds by then."""
KEPT_BYTES = 200 * 1024 * 1024
"""A helper that holds more than this after an answer is replaced: Go gives memory back late."""
_MIB = 1024**2
_MOST_WORDS = 1500


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What one render may use."""

    memory_bytes: int = 1024 * _MIB
    """Data memory of the helper, its Go runtime included, and of each program that it starts."""
    timeout_s: float = 60.0
    output_bytes: int = 32 * _MIB


class _Killed(Exception):
    """Somebody else ended the helper in the middle of a render."""


class HelperProcess:
    """Starts the helper at the first request. Not safe for threads: a worker child renders one thing at a time."""

    def __init__(self, work: Path, limits: RenderLimits) -> None:
        self._workplace, self._limits = Workplace(work), limits
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._renders = 0

    def ask(
        self, request: Mapping[str, Any], files: Mapping[str, bytes], links: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The helper's answer. Raises TemplateFailed with the engine's words, without what is secret in the files (invariant
        8), RenderLimit naming the limit."""
        with self._workplace.folder(files, links or {}) as folder:
            limits = {"output_bytes": self._limits.output_bytes, "timeout_s": self._limits.timeout_s}
            answer = self._exchange({**request, **limits, "folder": str(folder)})
        if answer.get("rss_bytes", 0) > KEPT_BYTES:
            self._end()
        if "limit" in answer:
            raise self._limit(str(answer["limit"]))
        if "error" in answer:
            words = str(answer["error"]).replace(f"{folder}/", "").replace(str(folder), ".")
            # Before they are shortened: half a secret would not be found.
            raise TemplateFailed(_shortened(hiding.safe(words, files)))
        return answer

    def is_offline(self) -> bool:
        """Whether the helper, started now if none runs, could leave the network on this machine. Raises RenderLimit."""
        return bool(self.ask({"engine": "none"}, {})["offline"])

    def close(self) -> None:
        """End the helper, if one runs, and remove its folder."""
        self._end()
        self._workplace.close()

    @property
    def pid(self) -> int | None:
        """The helper's process id, None when none runs."""
        return self._process.pid if self._process is not None else None

    def _end(self) -> int | None:
        """Kill the helper with all that it started. Its exit status, None when none ran."""
        child, self._process = self._process, None
        if child is None:
            return None
        process.kill_group(child)
        status = child.wait()
        for pipe in (child.stdin, child.stdout, self._said):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was left in our buffer for the dead
                    pipe.close()
        self._said = None
        return status

    def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        payload = orjson.dumps(request)
        with contextlib.suppress(_Killed):
            return self._answered(payload)
        # Killed by nobody's fault, or by a kernel that is out of memory: the second time it is taken for that.
        try:
            return self._answered(payload)
        except _Killed as error:
            raise self._limit("memory") from error

    def _answered(self, payload: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            return self._receive(self._sent(payload), deadline)
        except BaseException:
            self._end()
            raise

    def _sent(self, payload: bytes) -> subprocess.Popen[bytes]:
        """The helper that got the request: a new one when the old one has died since."""
        try:
            child = self._running()
            _send(child, payload)
        except BrokenPipeError:
            self._end()
            child = self._running()
            _send(child, payload)
        return child

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._process.poll() is not None or self._renders >= RENDERS_PER_HELPER):
            self._end()
        if self._process is None:
            self._renders = 0
            work = self._workplace.opened()
            self._said = tempfile.TemporaryFile("a+b", dir=work)  # noqa: SIM115  # lives as long as the helper
            self._process = process.spawn(
                # By its path and isolated: as a module it would load all of this package, which it does not need.
                [sys.executable, "-I", helper.__file__],
                env=self._environment(work),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                limits=process.Limits(memory_bytes=self._limits.memory_bytes),
            )
        self._renders += 1
        return self._process

    def _environment(self, work: Path) -> dict[str, str]:
        """Nothing of ours: what we were started with may hold credentials."""
        soft = self._limits.memory_bytes // 2 // _MIB
        return {
            "PATH": os.defpath,
            "HOME": str(work),
            "LANG": "C.UTF-8",
            "GOMAXPROCS": "2",
            "GOMEMLIMIT": f"{soft}MiB",
        }

    def _receive(self, child: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        (size,) = _LENGTH.unpack(self._read(child, _LENGTH.size, deadline))
        if size > self._limits.output_bytes:
            raise self._limit("output")
        answer: dict[str, Any] = orjson.loads(self._read(child, size, deadline))
        if self._said is not None:
            os.ftruncate(self._said.fileno(), 0)
        return answer

    def _read(self, child: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert child.stdout is not None  # opened as a pipe above
        pieces: list[bytes] = []
        left = size
        while left:
            ready, _, _ = select.select([child.stdout], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise self._limit("time")
            piece = os.read(child.stdout.fileno(), min(left, 1 << 20))
            if not piece:
                raise self._death(child)
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _death(self, child: subprocess.Popen[bytes]) -> Exception:
        """Why the helper ended in the middle of a render, by its last words and its exit status."""
        status = child.wait()
        said = b""
        if self._said is not None:
            self._said.seek(0)
            said = self._said.read(_MIB)
        if any(words in said for words in helper.OUT_OF_MEMORY):
            return self._limit("memory")
        if status == -signal.SIGKILL:
            return _Killed()
        return TemplateFailed(f"the render engine crashed (exit status {status})", retry=BACKOFF)

    def _limit(self, which: str) -> RenderLimit:
        limits = self._limits
        words = {
            "memory": f"the render needed more memory than its limit of {limits.memory_bytes // _MIB} MiB",
            "output": f"the render gave more than its limit of {limits.output_bytes // _MIB} MiB",
            "time": f"the render took longer than its limit of {limits.timeout_s:g} s",
        }
        # A machine that is busy elsewhere can be slow; the other limits are met again by the same files.
        return RenderLimit(f"{words[which]} and was stopped", retry=600.0 if which == "time" else None)


def _shortened(message: str) -> str:
    """Both ends of a message: where it went wrong stands in front or at the end of what may be a thousand includes."""
    lines = " ".join(message.split())
    return lines if len(lines) <= _MOST_WORDS else f"{lines[: _MOST_WORDS // 3]} … {lines[-_MOST_WORDS // 3 * 2 :]}"


def _send(child: subprocess.Popen[bytes], payload: bytes) -> None:
    assert child.stdin is not None  # opened as a pipe
    child.stdin.write(_LENGTH.pack(len(payload)) + payload)
    child.stdin.flush()
