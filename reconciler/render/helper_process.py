"""Our end of the render helper: one spawned process that holds the Go code, replaced whenever it dies or is too slow.

Each request gets a private folder with exactly the files it may read, which is gone when it was answered. The helper has
the kernel's limit on its data memory; time and the size of the answer are limited here. A helper that hung or died takes
nothing with it but the one render that it was busy with.
"""

from __future__ import annotations

import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reconciler import process
from reconciler.errors import RenderLimit, TemplateFailed

_LENGTH = struct.Struct(">Q")
RENDERS_PER_HELPER = 2000
"""A helper is replaced after so many renders, whatever it holds by then."""


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What one render may use."""

    memory_bytes: int = 1024 * 1024 * 1024
    """Data memory of the helper, its Go runtime included, and of each program that it starts."""
    timeout_s: float = 60.0
    output_bytes: int = 32 * 1024 * 1024


class HelperProcess:
    """Starts the helper at the first request. Not safe for threads: a worker child renders one thing at a time."""

    def __init__(self, work: Path, limits: RenderLimits) -> None:
        self._work, self._limits = work, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._renders = 0

    def ask(self, request: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
        """The helper's answer. Raises TemplateFailed with the engine's words, RenderLimit naming the limit."""
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix="render-", dir=self._work))
        try:
            _write_all(folder, files)
            answer = self._exchange({**request, "folder": str(folder)})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if "error" in answer:
            raise TemplateFailed(str(answer["error"]).replace(f"{folder}/", "").replace(str(folder), "."))
        return answer

    def close(self) -> None:
        """End the helper, if one runs."""
        if self._process is not None:
            process.kill_group(self._process)
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    @property
    def pid(self) -> int | None:
        """The helper's process id, None when none runs."""
        return self._process.pid if self._process is not None else None

    def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        helper = self._running()
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            _send(helper, orjson.dumps(request))
            return self._receive(helper, deadline)
        except BaseException:
            self.close()
            raise

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._process.poll() is not None or self._renders >= RENDERS_PER_HELPER):
            self.close()
        if self._process is None:
            self._renders = 0
            self._process = process.spawn(
                [sys.executable, "-m", "reconciler.render.helper"],
                env={"PATH": os.defpath, "HOME": str(self._work), "LANG": "C.UTF-8", "GOMAXPROCS": "2"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                limits=process.Limits(memory_bytes=self._limits.memory_bytes),
            )
        self._renders += 1
        return self._process

    def _receive(self, helper: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
        (size,) = _LENGTH.unpack(self._read(helper, _LENGTH.size, deadline))
        if size > self._limits.output_bytes:
            raise RenderLimit(f"the render gives {size} bytes, the limit is {self._limits.output_bytes}")
        answer: dict[str, Any] = orjson.loads(self._read(helper, size, deadline))
        return answer

    def _read(self, helper: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert helper.stdout is not None  # opened as a pipe above
        pieces: list[bytes] = []
        left = size
        while left:
            wait_s = deadline - time.monotonic()
            ready, _, _ = select.select([helper.stdout], [], [], max(wait_s, 0))
            if not ready:
                raise RenderLimit(f"the render took longer than {self._limits.timeout_s:.0f} s and was stopped")
            piece = os.read(helper.stdout.fileno(), min(left, 1 << 20))
            if not piece:
                megabytes = self._limits.memory_bytes // 1024**2
                raise RenderLimit(f"the render was stopped by its memory limit of {megabytes} MiB, or crashed")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)


def _send(helper: subprocess.Popen[bytes], payload: bytes) -> None:
    assert helper.stdin is not None  # opened as a pipe
    try:
        helper.stdin.write(_LENGTH.pack(len(payload)) + payload)
        helper.stdin.flush()
    except BrokenPipeError as error:
        raise RenderLimit(
            "the render helper ended before it was asked anything; the next render starts a new one"
        ) from error


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
