"""`undrift drill`: rehearse a disaster, on purpose and within bounds."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import urlsplit

import typer

from workers import wiring
from workers.cli.selecting import NotFound
from workers.store.keys import PREFIX

drill_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@drill_app.callback()
def _root() -> None:
    """Rehearse a disaster."""


@drill_app.command("redis-loss", epilog="Example: undrift drill redis-loss --yes")
def redis_loss(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    installation: Annotated[str, typer.Option(help="The installation's UUID; needed unless Valkey is embedded.")] = "",
) -> None:
    """Delete all our keys in Redis, and only those: everything is rebuilt from Git and the clusters."""
    settings, store = wiring.settings(), wiring.store()
    is_embedded = not os.environ.get("UNDRIFT_REDIS_URL")
    if not is_embedded and installation != settings.installation():
        raise NotFound(f"this Redis is not an embedded one; add --installation {settings.installation()}")
    if not yes:
        typer.confirm(f"Delete every key under {PREFIX} in {_place(settings.redis_url)}?", abort=True)
    deleted = store.wipe()
    print(
        f"deleted {deleted} keys; no grant for one lease length ({settings.lease_s:.0f} s), then all is rebuilt: "
        "`undrift status` shows it come back"
    )


def _place(url: str) -> str:
    """A Redis URL without what logs in."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
