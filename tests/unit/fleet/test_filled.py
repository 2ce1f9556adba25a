"""Placeholders of an application, filled in per cluster when the fleet is expanded."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.fleet import Expansion, expand, with_dev_clusters
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from tests.fleets import application, cluster, document, documents, fleet, with_values

EU = with_values(cluster("eu-1", env="prod", ring="canary"), region="eu", replicas=3, db={"host": "db.eu", "tls": True})
US = with_values(cluster("us-1", env="prod", ring="last"), region="us", replicas=5, db={"host": "db.us", "tls": False})
REPO = "https://git.example.com/apps.git"


def expanded(*found: Mapping[str, object], previous: Expansion | None = None) -> Expansion:
    return expand(fleet(documents(*found)), previous=previous.specs if previous else None)


def spec(expansion: Expansion, name: str) -> InstanceSpec:
    return expansion.specs[InstanceKey.parse(name)]


def names(expansion: Expansion) -> list[str]:
    return [key.short for key in expansion.specs]


def said(expansion: Expansion) -> list[str]:
    return [str(one) for one in expansion.problems]


def test_path_ref_namespace_and_values_are_filled_in_for_each_cluster():
    given = application(
        "web",
        source={"repo": REPO, "path": "web/${cluster.values.region}", "ref": "release-${cluster.labels.ring}"},
        namespace="web-${cluster.name}",
        render={
            "helm": {"values": {"replicas": "${cluster.values.replicas}", "hosts": ["${cluster.name}.example.com"]}}
        },
    )

    found = expanded(EU, US, given)

    assert found.problems == ()
    for name, region, ring, replicas in (("eu-1", "eu", "canary", 3), ("us-1", "us", "last", 5)):
        own = spec(found, f"web@{name}")
        assert (own.source.path, own.source.ref.branch, own.namespace) == (
            f"web/{region}",
            f"release-{ring}",
            f"web-{name}",
        )
        assert own.render.helm.values == {"replicas": replicas, "hosts": [f"{name}.example.com"]}


def test_a_tag_is_filled_in_and_stays_a_tag():
    given = application("web", source={"repo": REPO, "ref": {"tag": "v-${cluster.values.region}"}})

    ref = spec(expanded(EU, given), "web@eu-1").source.ref

    assert (ref.tag, ref.branch, ref.commit) == ("v-eu", None, None)


def test_a_source_in_a_list_is_filled_in():
    source = {"repo": REPO, "path": "${cluster.name}"}
    listed = document("Application", "web", sources=[source], clusters={"all": True})

    assert spec(expanded(EU, listed), "web@eu-1").source.path == "eu-1"


def test_overrides_are_merged_before_placeholders_are_filled_in():
    values = {"db": "${cluster.values.db}", "name": "${cluster.values.nowhere}", "kept": "${cluster.values.region}"}
    given = application(
        "web",
        source={"repo": REPO, "path": "${cluster.values.nowhere}"},
        render={"helm": {"values": values}},
        overrides=[
            {
                "clusters": {"names": ["eu-1"]},
                "source": {"path": "eu/${cluster.name}", "ref": "r-${cluster.name}"},
                "namespace": "${cluster.values.region}",
                "render": {"helm": {"values": {"name": "o-${cluster.name}"}}},
            }
        ],
    )

    found = expanded(EU, US, given)

    own = spec(found, "web@eu-1")
    assert names(found) == ["web@eu-1"]
    assert (own.source.path, own.source.ref.branch, own.namespace) == ("eu/eu-1", "r-eu-1", "eu")
    assert own.render.helm.values == {"db": {"host": "db.eu", "tls": True}, "name": "o-eu-1", "kept": "eu"}
    assert [one.field for one in found.problems] == ["spec.source.path", "spec.render.helm.values.name"]


def test_what_one_cluster_lacks_stops_that_instance_only_and_leaves_what_ran_from_it():
    before = expanded(EU, US, application("web", "old"))
    given = application("web", "new/${cluster.values.region}")

    after = expanded(EU, cluster("us-1"), given, previous=before)

    assert spec(after, "web@eu-1").source.path == "new/eu"
    assert spec(after, "web@us-1") == spec(before, "web@us-1")
    assert (after.kept, after.left) == ({InstanceKey.parse("web@us-1")}, frozenset())
    assert "on us-1: there is no ${cluster.values.region}; it has cluster.name" in said(after)[0]


def test_a_problem_names_file_line_and_field_of_where_the_text_is_written():
    text = """
        apiVersion: undrift.dev/v1alpha1
        kind: Application
        metadata: {name: web}
        spec:
          source: {repo: https://git.example.com/apps.git}
          clusters: {all: true}
          render:
            helm:
              values:
                a: fine
          overrides:
            - clusters: {all: true}
              render:
                helm:
                  values:
                    a:
                      b: ["x", "${cluster.values.regoin}"]
        """

    found = expand(fleet({"apps/web.yaml": text, "eu.yaml": documents(EU)}))

    problem = found.problems[0]
    assert (problem.file, problem.line, problem.subject) == ("apps/web.yaml", 18, ("Application", "web"))
    assert problem.field == "spec.overrides[0].render.helm.values.a.b[1]"
    assert "did you mean ${cluster.values.region}?" in problem.message


def test_clusters_that_lack_the_same_are_told_together():
    given = application("web", namespace="${cluster.values.x}")

    found = expanded(*(cluster(f"c-{number}") for number in range(5)), given)

    assert len(found.problems) == 1
    assert "on c-0, c-1, c-2 and 2 more: there is no ${cluster.values.x}" in said(found)[0]


def test_what_no_cluster_could_fill_in_is_told_once_also_where_no_cluster_is_asked():
    overrides = [{"clusters": {"matchLabels": {"env": "nowhere"}}, "namespace": "${cluster.nmae}"}]

    used = expanded(EU, US, application("web", "${cluster.nmae}"))
    unused = expanded(EU, US, application("web", overrides=overrides))

    assert (len(used.problems), names(used)) == (1, [])
    assert (len(unused.problems), names(unused)) == (1, ["web@eu-1", "web@us-1"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"source": {"repo": REPO, "path": "${cluster.values.path}"}}, "spec.source.path"),
        ({"source": {"repo": REPO, "path": "a/${cluster.values.path}"}}, "spec.source.path"),
        ({"source": {"repo": REPO, "path": "../${cluster.name}"}}, "spec.source.path"),
        ({"source": {"repo": REPO, "path": "/${cluster.name}"}}, "spec.source.path"),
        ({"source": {"repo": REPO, "path": "${cluster.values.back}"}}, "spec.source.path"),
        ({"source": {"repo": REPO, "ref": "${cluster.values.none}"}}, "spec.source.ref"),
        ({"namespace": "${cluster.values.path}"}, "spec.namespace"),
        ({"namespace": "${cluster.values.none}"}, "spec.namespace"),
        ({"namespace": "Web-${cluster.name}"}, "spec.namespace"),
        ({"namespace": "$${cluster.name}"}, "spec.namespace"),
        ({"namespace": "${cluster.values.map}"}, "spec.namespace"),
        ({"namespace": "undrift-${cluster.values.system}"}, "spec.namespace"),
    ],
)
def test_what_comes_of_a_text_is_held_to_the_rules_of_its_field(values, field):
    place = with_values(cluster("eu-1"), path="../x", none="", back="a\\b", map={"a": "b"}, system="system")

    found = expanded(place, application("web", **values))

    assert names(found) == []
    assert [one.field for one in found.problems] == [field]


def test_a_literal_reaches_the_values_of_a_chart():
    given = application("web", render={"helm": {"values": {"script": "echo $${HOME} $HOME"}}})

    assert spec(expanded(EU, given), "web@eu-1").render.helm.values == {"script": "echo ${HOME} $HOME"}


def project(**limits: object) -> dict[str, object]:
    return document(
        "Project", "default", **{"repos": ["*"], "clusters": {"names": ["*"]}, "namespaces": ["*"], **limits}
    )


def test_a_project_is_asked_about_the_namespace_that_came_of_it():
    given = application("web", namespace="web-${cluster.values.region}")

    found = expanded(EU, US, project(namespaces=["web-eu"]), given)

    assert names(found) == ["web@eu-1"]
    assert "does not list namespace 'web-us'" in said(found)[0]


def test_a_cluster_that_the_project_forbids_is_refused_although_its_namespace_can_not_be_filled_in():
    before = expanded(EU, application("web", namespace="web"))
    given = application("web", namespace="${cluster.values.nowhere}")

    after = expanded(EU, project(clusters={"names": ["us-1"]}), given, previous=before)

    rules = spec(after, "web@eu-1").rules
    assert rules is not None
    assert "does not allow cluster 'eu-1'" in rules.refusal
    assert len(after.problems) == 2


def digests(expansion: Expansion) -> dict[str, str]:
    return {key.short: one.digest for key, one in expansion.specs.items()}


APPS = (
    application("by-region", "web/${cluster.values.region}"),
    application("by-ring", render={"helm": {"values": {"ring": "${cluster.labels.ring}"}}}),
    application("plain"),
)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (with_values(cluster("eu-1", env="prod", ring="canary"), region="eu", replicas=4), set()),
        (with_values(cluster("eu-1", env="test", ring="canary", new="x"), region="eu"), set()),
        (with_values(cluster("eu-1", ring="canary"), region="eu2"), {"by-region@eu-1"}),
        (with_values(cluster("eu-1", ring="last"), region="eu"), {"by-ring@eu-1"}),
    ],
    ids=["an unused value", "an unused label", "a used value", "a used label"],
)
def test_only_an_instance_whose_own_result_is_another_has_another_digest(changed, expected):
    before, after = digests(expanded(EU, US, *APPS)), digests(expanded(changed, US, *APPS))

    assert {name for name in before if before[name] != after[name]} == expected


def test_no_value_of_a_cluster_enters_a_spec_that_does_not_ask_for_it():
    found = expanded(EU, *APPS)

    assert "db.eu" not in "".join(one.to_json().decode() for one in found.specs.values())
    assert "db.eu" not in found.clusters["eu-1"].model_dump_json()


def test_a_local_cluster_keeps_the_values_that_the_files_give_it():
    written = fleet(
        documents(with_values(cluster("dev-1"), region="here"), application("web", "${cluster.values.region}"))
    )

    found = expand(with_dev_clusters(written, {"dev-1": "dev-1/kubeconfig"}))

    assert spec(found, "web@dev-1").source.path == "here"
