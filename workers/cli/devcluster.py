"""`undrift dev-cluster`: real Kubernetes clusters on this machine.

Progress and errors go to stderr; stdout carries only what was asked for, so that `kubeconfig NAME > file` and `-o json`
can be piped. Exit codes: 0 as wanted, 2 a name that can't be or does not run, 3 failed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reconciler import devcluster
from reconciler.devcluster import folders
from reconciler.devcluster.errors import BadName

__all__ = ["dev_cluster_app"]

dev_cluster_app = typer.Typer(
    pretty_exceptions_enable=False,
    name="dev-cluster",
    help="Start and stop real Kubernetes clusters on this machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_USAGE, _FAILED, _INTERRUPTED = 2, 3, 130


class Output(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


@dev_cluster_app.command(epilog="Example: undrift dev-cluster start dev-1 dev-2 --bare")
def start(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="One or more names, such as dev-1.")],
    bare: Annotated[bool, typer.Option("--bare", help="API server and etcd only: nothing makes Pods.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="Write an audit log (Metadata level).")] = False,
) -> None:
    """Start clusters, or find them running. The first start fetches or builds the programs."""
    with _errors_told():
        found = devcluster.start(
            names,
            _home(),
            cache=folders.cache_folder(os.environ),
            env=os.environ,
            bare=bare,
            audit=audit,
            progress=_say,
        )
    for cluster in found:
        typer.echo(f"{cluster.name} runs at {cluster.server_url}; KUBECONFIG={cluster.kubeconfig}")


@dev_cluster_app.command(epilog="Example: undrift dev-cluster stop --all")
def stop(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Which clusters.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All clusters of this UNDRIFT_HOME.")] = False,
) -> None:
    """Stop clusters. Their data goes with them."""
    if bool(names) == all_:
        _say("say which: NAME... or --all")
        raise typer.Exit(_USAGE)
    with _errors_told():
        for name in names or [cluster.name for cluster in devcluster.running(_home())]:
            devcluster.stop(_home(), name)
            typer.echo(f"{name} stopped")


@dev_cluster_app.command("list", epilog="Example: undrift dev-cluster list -o json")
def list_clusters(
    output: Annotated[Output, typer.Option("--output", "-o", help="How to write it.")] = Output.TABLE,
) -> None:
    """List the clusters that run."""
    with _errors_told():
        found = devcluster.running(_home())
    if output is Output.JSON:
        items = [_item(cluster) for cluster in found]
        typer.echo(json.dumps({"apiVersion": "undrift.dev/v1alpha1", "kind": "DevClusterList", "items": items}))
    elif output is Output.NAME:
        typer.echo("".join(f"{cluster.name}\n" for cluster in found), nl=False)
    else:
        _table(found)


@dev_cluster_app.command(epilog="Example: undrift dev-cluster kubeconfig dev-1 > dev-1.kubeconfig")
def kubeconfig(name: Annotated[str, typer.Argument(metavar="NAME", help="Which cluster.")]) -> None:
    """Print the self-contained admin kubeconfig of a cluster, and nothing else."""
    with _errors_told():
        text = devcluster.kubeconfig(_home(), name)
    typer.echo(text, nl=False)


def _home() -> Path:
    return folders.home_folder(os.environ)


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except (devcluster.ClusterNotRunning, BadName) as error:
        _say(error.message)
        raise typer.Exit(_USAGE) from None
    except devcluster.DevClusterError as error:
        _say(error.message)
        raise typer.Exit(_FAILED) from None
    except KeyboardInterrupt:
        _say("interrupted; what was being started is stopped again")
        raise typer.Exit(_INTERRUPTED) from None


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _item(cluster: devcluster.Running) -> dict[str, object]:
    return {
        "name": cluster.name,
        "server": cluster.server_url,
        "kubeconfig": str(cluster.kubeconfig),
        "bare": cluster.bare,
        "auditLog": str(cluster.audit_log) if cluster.audit_log else None,
        "pid": cluster.pid,
    }


def _table(found: list[devcluster.Running]) -> None:
    rows = [("NAME", "SERVER", "PROGRAMS", "PID")]
    rows += [(each.name, each.server_url, "bare" if each.bare else "full", str(each.pid)) for each in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
