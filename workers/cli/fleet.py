"""`undrift fleet`: look at fleet files before you push them. Needs no Redis, and but for `plan` no cluster either."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer

from reconciler.errors import UndriftError
from reconciler.fleet import Expansion, Problem
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Discovery
from reconciler.objects import mask
from reconciler.pipeline.rooms import Rooms
from workers import wiring
from workers.cli import offline, output, planned, planning
from workers.cli.offline import Meant
from workers.cli.output import Format

fleet_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
Location = Annotated[str, typer.Argument(metavar="[DIR|URL]", help="A folder or Git URL (default: here).")]
Word = Annotated[str, typer.Argument(metavar="[DIR|URL|APP]", help="The fleet, or an application of the one here.")]
FleetOption = Annotated[str, typer.Option("--fleet", metavar="DIR|URL", help="The fleet, when APP is given.")]
Clusters = Annotated[list[str] | None, typer.Option("--cluster", help="Only this cluster; may be repeated.")]
Output = Annotated[Format, typer.Option("-o", "--output")]
USAGE = 2


@fleet_app.command(epilog="Example: undrift fleet validate examples/fleet")
def validate(location: Location = ".", chosen: Output = Format.TABLE) -> None:
    """Read every document, and print all that is wrong with file, line and field. Ends with 0, 2 for problems, 3 when
    there is no fleet to read, and 5 when its Git host can't be reached."""
    with closing(wiring.open_rooms(wiring.settings())) as rooms:
        fleet, expansion = offline.read(location, rooms)
    problems = [str(one) for one in expansion.problems]
    if chosen is Format.JSON:
        output.show_json({"problems": problems, "instances": [str(key) for key in expansion.specs]})
    else:
        for sentence in (*problems, *(f"note: {one}" for one in expansion.notes)):
            print(sentence)
        if not fleet.clusters:
            print("note: no Cluster document here; `undrift up --context NAME` or `--dev-clusters N` brings clusters")
        print(
            f"{len(fleet.applications)} applications, {len(fleet.clusters)} clusters, "
            f"{len(expansion.specs)} instances, {len(problems)} problems"
        )
    sys.exit(USAGE if problems else 0)


@fleet_app.command(epilog="Example: undrift fleet render guestbook --cluster dev-1 --fleet examples/fleet")
def render(
    word: Word = "",
    fleet: FleetOption = "",
    cluster: Clusters = None,
    instance: Annotated[str, typer.Option(help="Only this instance, as guestbook@dev-1.")] = "",
    kube_version: Annotated[str, typer.Option(help="The Kubernetes version that Helm charts see.")] = "v1.37.0",
) -> None:
    """Render instances as they would be applied, placeholders filled in; values of Secrets are hidden. Ends with 0, 2 for
    problems of the fleet's files, and 3 when one does not render."""
    meant = Meant.by(word, fleet, cluster or ())
    if instance:
        meant = Meant(meant.location, instance, meant.clusters)
    failed = False
    with closing(wiring.open_rooms(wiring.settings())) as rooms:
        documents, expansion = offline.read(meant.location, rooms, offline.local_clusters(wiring.settings()))
        problems = _tell_problems(offline.problems(meant, documents, expansion))
        chosen = offline.chosen(meant, documents, expansion)
        if not chosen:
            _tell_nothing(expansion)
        for key in chosen:
            try:
                _render_one(key, expansion, kube_version, rooms)
            except UndriftError as error:
                print(f"undrift: {key.short}: {error.reason}: {error.message}", file=sys.stderr)
                failed = True
    sys.exit(USAGE if problems else 3 if failed else 0)


@fleet_app.command(epilog="Example: undrift fleet plan --fleet examples/fleet guestbook")
def plan(
    word: Word = "",
    fleet: FleetOption = "",
    cluster: Clusters = None,
    chosen: Output = Format.TABLE,
) -> None:
    """Show what pushing a fleet's files would change on its clusters, equal results together. Asks clusters and
    repositories, needs no Redis and writes nothing; what no file names any more stays as it is and is not shown. A copy on
    another machine needs the same UNDRIFT_INSTALLATION. Ends with 0 no changes, 1 differences, 2 problems of the files,
    3 when a sync would fail, 4 when it would be held, 5 when a cluster is unreachable."""
    meant = Meant.by(word, fleet, cluster or ())
    settings = wiring.settings()
    with closing(wiring.open_rooms(settings, planning.SharedSource)) as rooms:
        documents, expansion = offline.read(meant.location, rooms, offline.local_clusters(settings))
        problems = offline.problems(meant, documents, expansion)
        if chosen is not Format.JSON:
            _tell_problems(problems)
        keys = offline.chosen(meant, documents, expansion)
        if not keys:
            _tell_nothing(expansion)
        outcomes = planning.outcomes([expansion.specs[key] for key in keys], rooms)
    told = planned.tell(outcomes)
    if chosen in (Format.JSON, Format.YAML):
        document = planned.document(told, [str(one) for one in problems])
        (output.show_json if chosen is Format.JSON else output.show_yaml)(document)
    else:
        planned.show(told)
    sys.exit(planned.exit_code(outcomes, is_whole=not problems))


def _tell_nothing(expansion: Expansion) -> None:
    """An empty answer is explained: a cluster of `up --context`, say, stands in no file."""
    notes = "".join(f"\n  {note}" for note in expansion.notes) or "; it has no application, or no cluster"
    print(f"undrift: no instance in this fleet{notes}", file=sys.stderr)


def _tell_problems(problems: Sequence[Problem]) -> Sequence[Problem]:
    """Print what is wrong on stderr: what follows on stdout is what is good."""
    for one in problems:
        print(f"undrift: {one}", file=sys.stderr)
    return problems


def _render_one(key: InstanceKey, expansion: Expansion, kube_version: str, rooms: Rooms) -> None:
    spec = expansion.specs[key]
    with rooms.source.checkout(spec.source) as checkout:
        desired = rooms.renderer.render(checkout, spec, Discovery({}, server_version=kube_version))
    for manifest in desired:
        sys.stdout.write(f"--- # {key.short} {manifest.origin}\n")
        output.show_yaml(mask.masked(manifest.body))
