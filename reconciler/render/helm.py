"""Helm charts that live in the repository.

The engine is Helm's own (through `helm-python-sdk`, in the helper), with the target's version and API versions as
Capabilities. What that library leaves to its caller is done here and in `render.charts`, as the helm command does it:
the chart's kubeVersion, missing dependencies, dependencies by `file://`, CRDs, NOTES.txt, values from files and options.

As with `helm template --api-versions` (and so Argo CD), the cluster's API versions come on top of Helm's built-in ones.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from reconciler.errors import InvalidManifest, PathNotFound, TemplateFailed, Unreachable
from reconciler.model.live import Discovery
from reconciler.model.manifest import Manifest
from reconciler.model.revision import Checkout
from reconciler.model.spec import InstanceSpec
from reconciler.objects.budget import Budget
from reconciler.render import charts, documents, generated, hooks, semver
from reconciler.render.helper_process import HelperProcess
from reconciler.render.reading import Reading, join, leads_out

# Sprig's functions that format a date take the time at hand for whatever is none, such as a text; durationRound tells how
# long ago a date is. Those that calculate (dateModify, toDate, unixEpoch) are given a date by one of these, or a fixed one.
# `date` is a common word, too, and a common name of a value: it counts where it is called, with its format after it.
_TELLS_TIME = re.compile(
    rb"\b(now|ago|htmlDate|htmlDateInZone|dateInZone|date_in_zone|durationRound)\b"
    rb"|(?<![\w.$\"'`/-])date\s+[\"`.$(\\]"
)
_IS_BY_CHANCE = re.compile(
    rb"\b(rand[A-Z]\w*|uuidv4|gen(CA|PrivateKey|SelfSignedCert|SignedCert)\w*|shuffle|bcrypt|htpasswd|encryptAES)\b"
)
_LOOKS_AT_KINDS = re.compile(rb"APIVersions|Capabilities\s*(\||\}|\))")


def render(
    checkout: Checkout, spec: InstanceSpec, discovery: Discovery, reading: Reading, helper: HelperProcess
) -> tuple[list[Manifest], bool]:
    """The chart's CRDs, then its templates in the order of their names; and whether the same would come again.

    Raises NotRepeatable, TemplateFailed, InvalidManifest, RemoteBase, RenderLimit, and Unreachable when the chart asks for
    API versions that the cluster could not tell: a chart that takes a kind for missing leaves objects out, which would
    prune them.
    """
    path = checkout.path
    chart = charts.collect(path, reading)
    _require_kube_version(chart, discovery.server_version, path)
    _require_known_kinds(chart, discovery, path)
    tells_time = _holds(chart, _TELLS_TIME)
    request = {
        "engine": "helm",
        "target": "chart",
        "name": spec.release_name,
        "namespace": spec.namespace or "default",
        "values": _values(checkout, spec, reading),
        "kube_version": discovery.server_version,
        "api_versions": list(discovery.api_versions()),
        # Rendering twice shows at once what would otherwise look like a change at every sync; times tell seconds apart.
        "twice": tells_time or _holds(chart, _IS_BY_CHANCE),
        "pause_s": 1.0 if tells_time else 0.0,
    }
    try:
        answer = helper.ask(request, {f"chart/{name}": data for name, data in chart.files.items()})
    except TemplateFailed as error:
        raise TemplateFailed(_in_the_repository(error.message, chart, path), subject=path, retry=error.retry) from error
    found = _manifests(answer, spec, path, reading.budget)
    if not answer["again"]:
        return found, True
    again = _manifests({**answer, "templates": {**answer["templates"], **answer["again"]}}, spec, path, Budget())
    once, other = (hooks.without_hooks(one, spec.render)[0] for one in (found, again))
    generated.require_repeatable(once, other, spec.render.helm.keep_generated, path)
    return found, False


def _manifests(answer: Mapping[str, Any], spec: InstanceSpec, path: str, budget: Budget) -> list[Manifest]:
    found: list[Manifest] = []
    if not spec.render.helm.skip_crds:
        for crd in answer["crds"]:
            found += documents.parse(str(crd["data"]), _origin(path, str(crd["filename"])), budget)
    for name, text in sorted(answer["templates"].items()):
        if not name.endswith("NOTES.txt"):
            found += documents.parse(str(text), _origin(path, name), budget, rendered=True)
    return found


def _origin(path: str, template: str) -> str:
    """`<chart>/templates/x.yaml` as a path of the repository: Helm begins its names with the chart's own."""
    return join(path, template.partition("/")[2] or template)


def _in_the_repository(message: str, chart: charts.Chart, path: str) -> str:
    """Helm's words with the names of templates as paths of the repository."""
    return re.sub(rf"\b{re.escape(chart.name)}/(templates|charts|crds)/", rf"{join(path, '')}/\1/".lstrip("/"), message)


def _require_kube_version(chart: charts.Chart, server: str, path: str) -> None:
    constraint = str(chart.metadata.get("kubeVersion") or "")
    if constraint and not semver.matches(server, constraint):
        raise TemplateFailed(
            f"{join(path, 'Chart.yaml')}: the chart wants Kubernetes {constraint}, the cluster runs {server}",
            subject=path,
        )


def _require_known_kinds(chart: charts.Chart, discovery: Discovery, path: str) -> None:
    if discovery.stale_groups and _holds(chart, _LOOKS_AT_KINDS):
        raise Unreachable(
            f"{path or '/'}: the chart asks which API versions there are, and the cluster could not tell for "
            f"{', '.join(sorted(discovery.stale_groups))}; tried again when that API answers",
            subject=path,
        )


def _holds(chart: charts.Chart, what: re.Pattern[bytes]) -> bool:
    """Whether a file of it holds that, one in a packed dependency included."""
    return any(what.search(data) for data in chart.seen.values())


def _values(checkout: Checkout, spec: InstanceSpec, reading: Reading) -> dict[str, Any]:
    """The values of the options over those of the files, later files over earlier ones. Paths begin at the chart."""
    merged: dict[str, Any] = {}
    for name in spec.render.helm.value_files:
        path = posixpath.normpath(posixpath.join(checkout.path, name))
        if "://" in name or leads_out(path):
            raise InvalidManifest(f"render.helm.valueFiles: {name} leads out of the repository", subject=name)
        try:
            text = reading.read(path)
        except PathNotFound as error:
            raise InvalidManifest(
                f"render.helm.valueFiles: {name} does not exist in the repository (at {path})", subject=name
            ) from error
        merged = merge(merged, charts.one_map(text, path, reading.budget))
    return merge(merged, spec.render.helm.values)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merged deep, everything else replaced; a null stays, since to Helm it takes a chart's default away."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged
