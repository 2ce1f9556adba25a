"""The labels and annotations that Undrift reads or writes, each named once."""

from __future__ import annotations

# ApplySet (KEP-3659). kubectl's code has the prefix applyset.kubernetes.io, unlike the KEP's text.
APPLYSET_ID = "applyset.kubernetes.io/id"
PART_OF = "applyset.kubernetes.io/part-of"
TOOLING = "applyset.kubernetes.io/tooling"
CONTAINS_GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
ADDITIONAL_NAMESPACES = "applyset.kubernetes.io/additional-namespaces"

# Ours, on the inventory's parent.
FENCE = "undrift.dev/fence"
INSTALLATION = "undrift.dev/installation"
INSTANCE = "undrift.dev/instance"
PARTS = "undrift.dev/parts"

# Ours, read from manifests.
PRUNE = "undrift.dev/prune"
REPLACE = "undrift.dev/replace"

HELM_POLICY = "helm.sh/resource-policy"

SYSTEM_NAMESPACE = "undrift-system"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
