"""`undrift fleet`: look at fleet files before you push them. Needs no Redis; rendering needs no cluster either."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from reconciler.errors import UndriftError
from reconciler.fleet import Expansion, Fleet, expand, load
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Discovery
from reconciler.objects import mask
from reconciler.pipeline.rooms import Rooms
from reconciler.source import open_fleet
from workers import wiring
from workers.cli import output
from workers.cli.output import Format
from workers.cli.selecting import NotFound

fleet_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Location = Annotated[str, typer.Argument(metavar="[DIR|URL]", help="A folder or Git URL (default: here).")]
USAGE = 2


@fleet_app.command(epilog="Example: undrift fleet validate examples/fleet")
def validate(
    location: Location = ".", chosen: Annotated[Format, typer.Option("-o", "--output")] = Format.TABLE
) -> None:
    """Read every document, and print all that is wrong with file, line and field. Ends with 0, or 2 for problems."""
    with closing(wiring.rooms()) as rooms:
        fleet, expansion = _read(location, rooms)
    problems = [str(one) for one in expansion.problems]
    if chosen is Format.JSON:
        output.show_json({"problems": problems, "instances": [str(key) for key in expansion.specs]})
    else:
        for sentence in (*problems, *(f"note: {one}" for one in expansion.notes)):
            print(sentence)
        print(
            f"{len(fleet.applications)} applications, {len(fleet.clusters)} clusters, "
            f"{len(expansion.specs)} instances, {len(problems)} problems"
        )
    sys.exit(USAGE if problems else 0)


@fleet_app.command(epilog="Example: undrift fleet render examples/fleet --instance guestbook@dev-1")
def render(
    location: Location = ".",
    instance: Annotated[str, typer.Option(help="Only this instance.")] = "",
    kube_version: Annotated[str, typer.Option(help="The Kubernetes version that Helm charts see.")] = "v1.37.0",
) -> None:
    """Render every instance as it would be applied; values of Secrets are hidden. Ends with 3 when one fails."""
    failed = False
    with closing(wiring.rooms()) as rooms:
        _, expansion = _read(location, rooms)
        keys = [InstanceKey.parse(instance)] if instance else list(expansion.specs)
        for key in keys:
            if key not in expansion.specs:
                raise NotFound(f"the fleet has no instance {key.short}")
            try:
                _render_one(key, expansion, kube_version, rooms)
            except UndriftError as error:
                print(f"undrift: {key.short}: {error.reason}: {error.message}", file=sys.stderr)
                failed = True
    sys.exit(3 if failed else 0)


def _read(location: str, rooms: Rooms) -> tuple[Fleet, Expansion]:
    with open_fleet(location, rooms.source) as (tree, _):
        fleet = load(tree)
    return fleet, expand(fleet)


def _render_one(key: InstanceKey, expansion: Expansion, kube_version: str, rooms: Rooms) -> None:
    spec = expansion.specs[key]
    with rooms.source.checkout(spec.source) as checkout:
        desired = rooms.renderer.render(checkout, spec, Discovery({}, server_version=kube_version))
    for manifest in desired:
        sys.stdout.write(f"--- # {key.short} {manifest.origin}\n")
        output.show_yaml(mask.masked(manifest.body))
