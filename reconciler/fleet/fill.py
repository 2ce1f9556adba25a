"""From an application's options to what one cluster makes of them: every `${cluster.…}` filled in, and the result held to
the rules that hold for text without any.

What can't be filled in stops that instance only, and is told once for all clusters that lack the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.fleet import placeholders
from reconciler.fleet.documents import LABEL, Application, is_inside, is_own_namespace
from reconciler.fleet.load import Entry
from reconciler.fleet.options import Options
from reconciler.fleet.placeholders import Names, Unfilled
from reconciler.fleet.problems import NAMESPACE_WORDS, Path, Problem
from reconciler.fleet.values import OPENING, is_over
from reconciler.model.spec import Ref, RenderOptions, Source

_MOST_NAMED = 3
MOST_FILLED = 512 << 10
"""Characters of an instance's values: what one cluster's long value is repeated to, on each cluster, in Redis."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A text that can't be filled in, and where it is written."""

    place: Path
    error: Unfilled


@dataclass(frozen=True, slots=True)
class Filled:
    """What an instance has for itself. With something `wrong` it has nothing; `namespace` is None when that is."""

    source: Source
    render: RenderOptions
    namespace: str | None
    wrong: tuple[Wrong, ...] = ()


def fill(options: Options, names: Names) -> Filled:
    """The options as one cluster has them."""
    if options.is_plain:
        return Filled(options.source, options.render, options.namespace)
    wrong: list[Wrong] = []
    path = _filled(options.source.path, _path, options.path_place, names, wrong)
    ref = _ref(options.source.ref, options, names, wrong)
    namespace = _filled(options.namespace, _namespace, options.namespace_place, names, wrong)
    render = _render(options, names, wrong)
    source = options.source.model_copy(update={"path": path, "ref": ref}) if not wrong else options.source
    return Filled(source, render, namespace, tuple(wrong))


def _filled(
    text: str | None, filling: Callable[[str, Names], str], place: Path, names: Names, wrong: list[Wrong]
) -> str | None:
    if text is None or OPENING not in text:
        return text
    try:
        return filling(text, names)
    except Unfilled as error:
        wrong.append(Wrong(place, error))
        return None


def _path(text: str, names: Names) -> str:
    path = placeholders.fill_path(text, names)
    try:
        return is_inside(path)
    except ValueError as error:
        raise placeholders.wrong_result(text, path, str(error)) from None


def _namespace(text: str, names: Names) -> str:
    name = placeholders.fill_text(text, names)
    if not re.fullmatch(LABEL, name):
        raise placeholders.wrong_result(text, name, f"expected {NAMESPACE_WORDS}")
    try:
        return is_own_namespace(name)
    except ValueError as error:
        raise placeholders.wrong_result(text, name, str(error)) from None


def _ref(ref: Ref, options: Options, names: Names, wrong: list[Wrong]) -> Ref:
    """The ref with its branch or tag filled in; a commit never has a placeholder."""
    branch = _filled(ref.branch, _ref_name, options.ref_place, names, wrong)
    tag = _filled(ref.tag, _ref_name, options.ref_place, names, wrong)
    return ref.model_copy(update={"branch": branch, "tag": tag})


def _ref_name(text: str, names: Names) -> str:
    if not (name := placeholders.fill_text(text, names)):
        raise placeholders.wrong_result(text, name, "expected a branch or tag")
    return name


def _render(options: Options, names: Names, wrong: list[Wrong]) -> RenderOptions:
    if options.sketch is None:
        return options.render
    found: list[tuple[Path, Unfilled]] = []
    helm = options.render.helm
    values = placeholders.fill_tree(helm.values, options.sketch, names, found)
    wrong += [Wrong(options.value_place(path), error) for path, error in found]
    if is_over(MOST_FILLED, values):
        message = (
            f"the values have over {MOST_FILLED >> 10} KiB once they are filled in; put large ones into valueFiles"
        )
        wrong.append(Wrong(options.value_place(()), Unfilled(message)))
        values = {}
    return options.render.model_copy(update={"helm": helm.model_copy(update={"values": values})})


def never(application: Application) -> Iterator[Wrong]:
    """What no cluster could fill in, also where no cluster is asked to."""
    spec = application.spec
    layers: list[tuple[Path, Path, Any]] = [(("spec",), spec.source_path, spec.the_source)]
    options: list[Any] = [spec, *spec.overrides]
    for index, override in enumerate(spec.overrides):
        above: Path = ("spec", "overrides", index)
        layers.append((above, (*above, "source"), override.source))
    for one, (above, source_above, source) in zip(options, layers, strict=True):
        own = {"namespace": one.namespace, "render": {"helm": {"values": one.render.helm.values}}}
        of_source = {"path": source.path, "ref": str(source.ref)}
        for place, text in (*placeholders.texts(of_source, source_above), *placeholders.texts(own, above)):
            try:
                placeholders.parse(text)
            except Unfilled as error:
                yield Wrong(place, error)


def told(entry: Entry, wrong: Mapping[str, Iterable[Wrong]]) -> Iterator[Problem]:
    """What is wrong, by cluster, as problems: one for all clusters on which the same is."""
    together: dict[tuple[Path, str, bool], list[str]] = {}
    for cluster, found in wrong.items():
        for one in found:
            shown = f"{cluster} ({one.error.found})" if one.error.found else cluster
            together.setdefault((one.place, str(one.error), one.error.is_everywhere), []).append(shown)
    for (place, message, is_everywhere), clusters in together.items():
        yield entry.problem(message if is_everywhere else f"on {_some(clusters)}: {message}", *place)


def _some(clusters: list[str]) -> str:
    named = ", ".join(clusters[:_MOST_NAMED])
    return named + (f" and {len(clusters) - _MOST_NAMED} more" if len(clusters) > _MOST_NAMED else "")
