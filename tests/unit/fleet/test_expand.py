"""One spec per application and cluster; what is broken is kept, what is refused writes nothing, what is gone is left."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.fleet import Expansion, Fleet, expand
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from tests.fleets import application, cluster, document, documents, fleet

EU, US = cluster("eu-1", env="prod", ring="canary"), cluster("us-1", env="prod")
GIT = "https://git.example.com/"
Specs = Mapping[InstanceKey, InstanceSpec]


def expanded(*found: Mapping[str, object], previous: Specs | None = None) -> Expansion:
    return expand(fleet(documents(*found)), previous=previous)


def names(expansion: Expansion) -> list[str]:
    return [key.short for key in expansion.specs]


def spec(expansion: Expansion, name: str) -> InstanceSpec:
    return expansion.specs[InstanceKey.parse(name)]


def selected(**clusters: object) -> list[str]:
    return [key.cluster for key in expanded(EU, US, cluster("dev-1"), application("web", clusters=clusters)).specs]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"all": True}, ["dev-1", "eu-1", "us-1"]),
        ({"names": ["eu-1"]}, ["eu-1"]),
        ({"matchLabels": {"env": "prod"}}, ["eu-1", "us-1"]),
        ({"matchLabels": {"env": "prod", "ring": "canary"}}, ["eu-1"]),
        ({"names": ["dev-1"], "matchLabels": {"ring": "canary"}}, ["dev-1", "eu-1"]),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}, ["eu-1", "us-1"]),
        ({"matchExpressions": [{"key": "ring", "operator": "NotIn", "values": ["canary"]}]}, ["dev-1", "us-1"]),
        ({"matchExpressions": [{"key": "ring", "operator": "Exists"}]}, ["eu-1"]),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, ["dev-1"]),
        (
            {"matchLabels": {"env": "prod"}, "matchExpressions": [{"key": "ring", "operator": "DoesNotExist"}]},
            ["us-1"],
        ),
        ({"all": True, "exclude": {"names": ["eu-1"]}}, ["dev-1", "us-1"]),
        ({"all": True, "exclude": {"matchLabels": {"env": "prod"}}}, ["dev-1"]),
        ({"names": ["eu-1"], "exclude": {"names": ["eu-1"]}}, []),
        ({"all": True, "exclude": {}}, ["dev-1", "eu-1", "us-1"]),
    ],
)
def test_a_selector_means_these_clusters(selector, expected):
    assert selected(**selector) == expected


def test_overrides_are_merged_in_order_maps_deep_and_lists_replaced():
    values = {"replicas": 1, "resources": {"cpu": 1, "memory": 2}, "hosts": ["a", "b"]}
    overrides = [
        {
            "clusters": {"matchLabels": {"env": "prod"}},
            "render": {"helm": {"values": {"resources": {"cpu": 5}, "hosts": ["c"]}, "valueFiles": ["prod.yaml"]}},
            "sync": {"prune": False, "resyncInterval": "1h"},
        },
        {
            "clusters": {"names": ["eu-1"]},
            "render": {"helm": {"values": {"replicas": 9, "resources": {"cpu": 7}}}},
            "sync": {"mode": "Manual"},
            "namespace": "eu",
            "drift": {"action": "Report"},
            "source": {"ref": {"tag": "v1"}, "path": "eu"},
        },
    ]
    given = application(
        "web",
        namespace="web",
        render={"helm": {"values": values, "releaseName": "r"}},
        sync={"createNamespace": True},
        overrides=overrides,
    )

    found = spec(expanded(EU, US, given), "web@eu-1")

    assert found.render.helm.values == {
        "replicas": 9,
        "resources": {"cpu": 7, "memory": 2},
        "hosts": ["c"],
    }
    assert (found.render.helm.value_files, found.render.helm.release_name) == (("prod.yaml",), "r")
    assert found.sync.model_dump(mode="json", exclude_unset=True) == {
        "create_namespace": True,
        "prune": False,
        "resync_interval": "1h",
        "mode": "Manual",
    }
    assert (found.namespace, found.drift.action, str(found.source.ref), found.source.path) == (
        "eu",
        "Report",
        "v1",
        "eu",
    )


def test_an_override_leaves_other_clusters_alone():
    given = application("web", overrides=[{"clusters": {"names": ["eu-1"]}, "sync": {"mode": "Observe"}}])
    both, plain = expanded(EU, US, given), expanded(EU, US, application("web"))

    assert spec(both, "web@us-1") == spec(plain, "web@us-1")
    assert spec(both, "web@us-1").digest == spec(plain, "web@us-1").digest != spec(both, "web@eu-1").digest


def test_a_source_in_a_list_means_the_same():
    source = {"repo": "https://git.example.com/apps.git", "path": "web"}
    listed = document("Application", "web", sources=[source], clusters={"all": True})

    assert expanded(EU, listed).specs == expanded(EU, application("web")).specs


def repository(name: str, url: str, **spec: object) -> dict[str, object]:
    return document("Repository", name, url=url, **{"credentials": {"token": {"file": name}}, **spec})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://git.example.com/apps.git", "host"),
        ("https://git.example.com:443/apps.git", "host"),
        ("https://GIT.example.com/apps.git", "host"),
        ("https://git.example.com/shop/apps.git", "shop"),
        ("https://git.example.com/shop", "shop"),
        ("https://git.example.com/shopping/apps.git", "host"),
        ("http://git.example.com/apps.git", None),
        ("https://git.example.com:8443/apps.git", None),
        ("https://git.example.com.evil.example/apps.git", None),
        ("git@git.example.com:team/apps.git", "ssh"),
        ("ssh://git@git.example.com/team/apps.git", "ssh"),
        ("ssh://git@git.example.com:2222/team/apps.git", None),
        ("https://git.example.com/private/apps.git", "host"),
    ],
)
def test_credentials_go_to_the_nearest_repository_of_the_same_host_and_project(url, expected):
    repositories = [
        repository("host", GIT, poll="5s"),
        repository("shop", "https://git.example.com/shop/"),
        repository("ssh", "ssh://git@git.example.com/team"),
        repository("other-project", "https://git.example.com/private", project="private"),
    ]

    found = spec(expanded(EU, *repositories, application("web", source={"repo": url})), "web@eu-1").source.repo

    token = found.credentials.token
    assert (token.file if token else None) == expected
    assert found.url == url
    assert (found.poll.total_seconds() == 5) == (expected == "host")


def test_two_repositories_of_one_url_are_named_and_neither_is_used():
    found = expanded(EU, repository("a", GIT), repository("b", "https://git.example.com:443"), application("web"))

    assert names(found) == []
    assert "Repositories 'a' and 'b' have one URL; remove one" in str(found.problems[0])


def test_expansion_is_deterministic_whatever_the_order():
    docs = [EU, US, repository("a", GIT), application("web"), application("api")]
    digests = [{key: one.digest for key, one in expanded(*order).specs.items()} for order in (docs, docs[::-1])]

    assert digests[0] == digests[1]


def test_a_label_of_a_cluster_wants_nothing_differently():
    before = spec(expanded(EU, application("web")), "web@eu-1")

    after = spec(expanded(cluster("eu-1", env="test"), application("web")), "web@eu-1")

    assert after.cluster.labels == {"env": "test"}
    assert after.digest == before.digest


def test_an_instance_that_left_is_named():
    before = expanded(EU, US, application("web"))

    after = expanded(EU, US, application("web", clusters={"names": ["eu-1"]}), previous=before.specs)

    assert after.left == {InstanceKey.parse("web@us-1")}
    assert names(after) == ["web@eu-1"]
    assert after.kept == frozenset()


def test_a_broken_application_keeps_its_specs_and_gets_no_new_instances():
    old = fleet({"a.yaml": documents(application("web")), "b.yaml": documents(EU)})
    before = expand(old)
    broken = documents(application("web", "new", rollouts={}))
    now = fleet({"a.yaml": broken, "b.yaml": documents(EU, US)}, previous=old)

    after = expand(now, previous=before.specs)

    assert after.specs == before.specs
    assert after.kept == before.specs.keys()
    assert after.left == frozenset()


def restarted(files: Mapping[str, str], before: Expansion) -> Expansion:
    """As after a restart of the scheduler: the specs are remembered, the documents are not."""
    return expand(fleet(files), previous=before.specs)


def test_after_a_restart_a_broken_document_keeps_its_instances():
    before = expanded(EU, US, application("web"), application("api"))
    broken = documents(EU, US, application("web", clusters={}), application("api", "new"))

    after = restarted({"a.yaml": broken}, before)

    assert after.kept == {InstanceKey.parse("web@eu-1"), InstanceKey.parse("web@us-1")}
    assert spec(after, "web@eu-1") == spec(before, "web@eu-1")
    assert spec(after, "api@eu-1").source.path == "new"
    assert after.left == frozenset()


def test_after_a_restart_a_file_that_hides_its_names_lets_nothing_be_left():
    before = expanded(EU, US, application("web"), application("api"))

    after = restarted({"a.yaml": documents(EU, application("api")), "b.yaml": "undrift: ["}, before)

    assert names(after) == ["api@eu-1", "api@us-1", "web@eu-1", "web@us-1"]
    assert after.left == frozenset()
    assert set(after.clusters) == {"eu-1", "us-1"}


def test_a_broken_cluster_keeps_its_instances_and_no_others():
    old = fleet({"eu.yaml": documents(EU), "us.yaml": documents(US), "web.yaml": documents(application("web"))})
    before = expand(old)
    files = {
        "eu.yaml": documents({**EU, "spec": {}}),
        "us.yaml": documents(US),
        "web.yaml": documents(application("web", "new")),
    }

    for now in (fleet(files, previous=old), fleet(files)):
        after = expand(now, previous=before.specs)

        assert spec(after, "web@eu-1") == spec(before, "web@eu-1")
        assert spec(after, "web@us-1").source.path == "new"
        assert after.kept == {InstanceKey.parse("web@eu-1")}
        assert "eu-1" in after.clusters


def test_a_broken_cluster_does_not_keep_an_application_that_is_gone():
    before = expanded(EU, US, application("web"))

    after = expanded({**EU, "spec": {}}, US, previous=before.specs)

    assert after.left == before.specs.keys()


def test_naming_a_broken_cluster_is_no_second_error():
    found = expanded({**EU, "spec": {}}, US, application("web", clusters={"names": ["eu-1", "us-1"]}))

    assert [one.subject for one in found.problems] == [("Cluster", "eu-1")]
    assert names(found) == ["web@us-1"]


def test_an_application_that_names_an_unknown_cluster_stays_as_it_was():
    before = expanded(EU, US, application("web"))

    after = expanded(EU, US, application("web", "new", clusters={"names": ["eu-1", "eu-9"]}), previous=before.specs)

    assert after.specs == before.specs
    assert "no Cluster 'eu-9'; did you mean 'eu-1'?" in str(after.problems[0])


def project(name: str = "default", **spec: object) -> dict[str, object]:
    anything = {"env": ["*"], "file": ["*"], "secret": ["*"]}
    given = {"repos": ["*"], "credentials": anything, "clusters": {"names": ["*"]}, "namespaces": ["*"]}
    return document("Project", name, **{**given, **spec})


def test_project_rules_travel_with_the_spec():
    kinds = [{"group": "apps", "kind": "Deployment"}]
    found = spec(expanded(EU, project(namespacedKinds=kinds), application("web")), "web@eu-1")

    assert found.rules is not None
    assert found.rules.namespaces == ("*",)
    assert [(one.group, one.kind) for one in found.rules.namespaced_kinds] == [("apps", "Deployment")]
    assert found.rules.cluster_kinds == ()


def test_the_default_project_allows_all_when_it_is_not_defined():
    assert spec(expanded(EU, application("web")), "web@eu-1").rules is None


@pytest.mark.parametrize(
    "limits",
    [
        {"repos": []},
        {"repos": ["https://git.example.com/apps"]},
        {"clusters": {"names": ["us-1"]}},
        {"clusters": {}},
        {"namespaces": ["other"]},
    ],
    ids=["no-repos", "another-repo", "another-cluster", "no-clusters", "another-namespace"],
)
def test_what_a_project_refuses_is_not_made_and_what_ran_writes_nothing_more(limits):
    given = application("web", namespace="web", clusters={"names": ["eu-1"]})
    before = expanded(EU, US, given)
    assert names(expanded(EU, US, project(**limits), given)) == []

    after = expanded(EU, US, project(**limits), given, previous=before.specs)

    found = spec(after, "web@eu-1")
    assert found.rules is not None
    assert found.rules.refusal in str(after.problems[0])
    assert found.rules.refusal.startswith("Project 'default' does not")
    assert after.kept == {InstanceKey.parse("web@eu-1")}
    assert names(expanded(EU, US, given, previous=after.specs)) == ["web@eu-1"]
    assert expanded(EU, US, given, previous=after.specs).specs == before.specs


@pytest.mark.parametrize(
    ("allowed", "used", "is_allowed"),
    [
        ({}, {"env": "UNDRIFT_CRED_SHOP"}, False),
        ({"env": ["UNDRIFT_CRED_SHOP_*"]}, {"env": "UNDRIFT_CRED_SHOP_A"}, True),
        ({"env": ["UNDRIFT_CRED_SHOP_*"]}, {"env": "UNDRIFT_CRED_GIT"}, False),
        ({"env": ["*"], "secret": ["*"]}, {"file": "shop/token"}, False),
        ({"file": ["shop/*", "common.pem"]}, {"file": "shop/token"}, True),
        ({"file": ["shop/*", "common.pem"]}, {"file": "common.pem"}, True),
        ({"file": ["shop/*"]}, {"file": "shop/../eu-1.yaml"}, False),
        ({"file": ["shop/*"]}, {"file": "eu-1.yaml"}, False),
        ({"file": ["shop.*"]}, {"file": "shopx"}, False),
        ({"secret": ["shop/*"]}, {"secret": "shop/git/token"}, True),
        ({"secret": ["shop/*"]}, {"secret": "kube-system/admin/token"}, False),
    ],
)
def test_a_repository_uses_the_credentials_that_its_project_lists(allowed, used, is_allowed):
    mine = repository("git", GIT, project="shop", credentials={"username": "x", "password": used})

    found = expanded(EU, project("shop", credentials=allowed), mine, application("web", project="shop"))

    assert names(found) == (["shop/web@eu-1"] if is_allowed else [])
    kind = next(iter(used))
    says = f"spec.credentials.password.{kind}: Project 'shop' does not list this in its credentials.{kind}; it allows "
    assert [says in str(one) for one in found.problems] == ([] if is_allowed else [True])
    assert not any(text in str(one) for text in used.values() for one in found.problems)


def test_what_ran_with_credentials_that_are_refused_now_writes_nothing_more_and_never_uses_others():
    """Neither those of a shorter URL, nor none."""
    docs = [EU, repository("host", GIT, project="shop"), application("web", project="shop")]
    nearer = repository("near", "https://git.example.com/apps.git", project="shop")
    before = expanded(*docs, nearer, project("shop"))

    after = expanded(*docs, nearer, project("shop", credentials={"file": ["host"]}), previous=before.specs)

    found = spec(after, "shop/web@eu-1")
    assert found.source.repo.credentials.token.file == "near"
    assert found.rules.refusal.startswith("Repository 'near': Project 'shop' does not list this")
    assert after.kept == {InstanceKey.parse("shop/web@eu-1")}


def test_a_repository_that_nobody_uses_is_told_of_and_the_undefined_default_project_uses_any():
    found = expanded(EU, project("shop", credentials={}), repository("git", GIT, project="shop"), application("web"))

    assert names(found) == ["web@eu-1"]
    assert [one.subject for one in found.problems] == [("Repository", "shop/git")]
    assert expanded(EU, repository("git", GIT), application("web")).problems == ()


def test_a_broken_default_project_does_not_allow_all():
    broken = {**project(), "spec": {"repo": []}}
    limited = expanded(EU, project(), application("web"))

    assert names(expanded(EU, broken, application("web"))) == []
    assert expanded(EU, broken, application("web", "new"), previous=limited.specs).specs == limited.specs


def test_a_default_project_that_may_be_hidden_in_unreadable_text_does_not_allow_all():
    limited = expanded(EU, project(), application("web"))

    after = restarted({"a.yaml": documents(EU, application("web", "new")), "p.yaml": "undrift: ["}, limited)

    assert after.specs == limited.specs


def test_a_project_that_can_not_be_read_stops_its_applications_only():
    broken = {**project("shop"), "spec": {"repo": []}}

    found = expanded(EU, broken, application("web"), application("cart", project="shop"))

    assert names(found) == ["web@eu-1"]


def test_while_a_repository_is_broken_its_credentials_are_used_on():
    before = expanded(EU, repository("shop", "https://git.example.com/apps.git"), application("web"))
    broken = repository("shop", "https://git.example.com/apps.git", polls="1s")

    after = expanded(EU, broken, repository("host", GIT), application("web", "new"), previous=before.specs)

    found = spec(after, "web@eu-1")
    assert found.source.path == "new"
    assert found.source.repo == spec(before, "web@eu-1").source.repo


def test_another_projects_broken_repository_does_not_hold_back_new_credentials():
    """A leaked token is rotated while another tenant's file is broken, or nobody can say whose it is."""
    before = expanded(EU, repository("old", GIT), application("web"))
    rotated = documents(EU, repository("new", GIT), application("web"))

    for theirs in (documents(repository("theirs", GIT, project="shop", polls="1s")), "undrift: ["):
        found = spec(restarted({"a.yaml": rotated, "b.yaml": theirs}, before), "web@eu-1").source.repo.credentials.token
        assert found is not None
        assert found.file == "new"


def test_text_that_may_hide_a_repository_takes_no_credentials_away():
    before = expanded(EU, repository("old", GIT), application("web"))

    after = restarted({"a.yaml": documents(EU, application("web", "new")), "b.yaml": "undrift: ["}, before)

    assert spec(after, "web@eu-1").source.repo == spec(before, "web@eu-1").source.repo


def test_text_that_may_hide_repositories_gives_no_credentials_to_another_projects_application_of_the_same_name():
    shop = [EU, project("shop"), application("web"), application("web", project="shop")]
    before = expanded(*shop, repository("ours", GIT), repository("shops", GIT, project="shop"))

    after = restarted({"a.yaml": documents(*shop), "b.yaml": "undrift: ["}, before)

    tokens = [spec(after, key).source.repo.credentials.token for key in ("web@eu-1", "shop/web@eu-1")]
    assert [one.file if one else None for one in tokens] == ["ours", "shops"]


def test_applications_of_one_name_are_each_their_projects_own():
    docs = [EU, project("shop"), application("web"), application("web", "cart", project="shop")]
    before = expanded(*docs)
    assert {str(key): one.source.path for key, one in before.specs.items()} == {
        "default/web@eu-1": "web",
        "shop/web@eu-1": "cart",
    }

    broken = application("web", "new", project="shop", rollouts={})
    after = expanded(EU, project("shop"), application("web", "new"), broken, previous=before.specs)

    assert (spec(after, "web@eu-1").source.path, spec(after, "shop/web@eu-1").source.path) == ("new", "cart")
    assert after.kept == {InstanceKey.parse("shop/web@eu-1")}


def test_an_application_that_goes_is_removed_though_another_project_has_its_name():
    docs = [EU, project("shop"), application("api"), application("web", project="shop")]
    before = expanded(*docs, application("web"))

    after = expanded(*docs, previous=before.specs)

    assert after.removed == {InstanceKey.parse("web@eu-1")}


def test_an_application_that_moved_to_another_project_leaves_the_old_one():
    before = expanded(EU, application("web"))

    after = expanded(EU, project("shop"), application("web", project="shop"), previous=before.specs)

    assert names(after) == ["shop/web@eu-1"]
    assert after.left == {InstanceKey.parse("web@eu-1")}
    assert after.removed == frozenset()  # nobody said that it moved, and nobody removed it


def test_repositories_are_looked_at_as_often_as_the_most_eager_asks():
    asked = {"default": "30s", "shop": "5s"}
    login = {"token": {"file": "git"}}
    repositories = [repository(name, GIT, project=name, poll=poll, credentials=login) for name, poll in asked.items()]

    found = expanded(EU, *repositories, project("shop"), application("web"), application("cart", project="shop"))

    polls = {key.application: one.source.repo.poll.total_seconds() for key, one in found.specs.items()}
    assert polls == {"web": 30, "cart": 5}
    assert [one.poll.total_seconds() for one in found.repositories().values()] == [5]


def test_an_empty_fleet_expands_to_nothing():
    assert expand(Fleet()).specs == {}
