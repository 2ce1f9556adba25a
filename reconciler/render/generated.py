"""Charts whose render is another one each time: random passwords and names, certificates, the time.

Applied as it comes, such a chart would change its objects at every pass and on every worker anew, so it is refused, with
each object and path that varies. A path that `render.helm.keepGenerated` names is generated once: from then on the value
that is live stands for it (`pipeline.generated`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.errors import NotRepeatable
from reconciler.model.manifest import Manifest
from reconciler.model.spec import KeepGenerated
from reconciler.objects import pointer

MOST_NAMED = 5


def require_repeatable(
    once: Sequence[Manifest], again: Sequence[Manifest], kept: Iterable[KeepGenerated], chart: str
) -> None:
    """Raises NotRepeatable where two renders of the same inputs differ by more than what is kept."""
    rules = tuple(kept)
    varying = [
        f"{one.key} {path or 'by its name'} ({one.origin})"
        for one, path in _varying(once, again)
        if not _is_kept(one, path, rules)
    ]
    if not varying:
        return
    more = f" and {len(varying) - MOST_NAMED} more" if len(varying) > MOST_NAMED else ""
    raise NotRepeatable(
        f"{chart or '/'}: two renders of the same inputs differ (random values, or the time): "
        f"{', '.join(varying[:MOST_NAMED])}{more}. Give the values yourself, or list the paths in "
        "`render.helm.keepGenerated` to have each generated once",
        subject=chart,
    )


def _varying(once: Sequence[Manifest], again: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    """Each object that varies with the path of what does; the empty path for one whose name does."""
    others = {one.key: one for one in again}
    for one in once:
        other = others.get(one.key)
        if other is None:
            yield one, ""
        else:
            yield from ((one, path) for path in pointer.differing(one.body, other.body))


def _is_kept(one: Manifest, path: str, rules: Iterable[KeepGenerated]) -> bool:
    return any(
        rule.concerns(one.key) and any(path == mine or path.startswith(f"{mine}/") for mine in rule.paths)
        for rule in rules
    )
