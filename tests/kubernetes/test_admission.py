"""The definition at a real API server: what its rules refuse, with which words, and what `kubectl explain` says."""

import json
import subprocess

import pytest
from kube.kind import ROOT, run

ZONES = ["zone-a", "zone-b"]


def window(**fields):
    """A spec with a maintenance window, of which some fields are so."""
    return {"nodes": 3, "maintenance": {"windows": [{"start": "02:00", "duration": "2h"} | fields]}}


#: (spec, the field that is to blame, what must be said)
REFUSED = [
    ({"nodes": 0}, "spec.nodes", "must be at least 1, got 0"),
    ({"nodes": 1001}, "spec.nodes", "must be at most 1000, got 1001"),
    ({"nodes": 2, "replicationFactor": 3}, "spec.replicationFactor", "every copy needs a node of its own, got 3 copies for 2 nodes"),
    ({"nodes": 3, "zones": []}, "spec.zones", "must name at least one zone"),
    ({"nodes": 3, "zones": ["a", "a"]}, "spec.zones", "must not name a zone twice"),
    ({"nodes": 3, "zones": ["Zone"]}, "spec.zones", "must be DNS labels"),
    ({"nodes": 3, "zones": ZONES, "nodeGroups": [{"name": "x", "zone": "zone-z"}]}, "spec.nodeGroups", "must name zones of spec.zones only"),
    ({"nodes": 3, "nodeGroups": [{"name": "x"}, {"name": "x", "count": 1}]}, "spec.nodeGroups", "must not have two groups of one name"),
    ({"nodes": 3, "nodeGroups": [{"name": "x", "count": 1}]}, "spec.nodeGroups", "must have counts that add up to spec.nodes"),
    ({"nodes": 3, "auth": {"mode": "Secret"}}, "spec.auth", "must name the Secret in secretName"),
    ({"nodes": 3, "drainSeconds": -1}, "spec.drainSeconds", "must be 0 to 3600"),
    ({"nodes": 3, "repair": {"after": "soon"}}, "spec.repair", "must have a time such as 30s"),
    ({"nodes": 3, "storage": {"size": "1Ki"}}, "spec.storage", "must have at least 10M for size"),
    ({"nodes": 3, "storage": {"growth": {"limit": "9Gi"}}}, "spec.storage", "must have a growth.limit of at least size"),
    ({"nodes": 3, "storage": {"size": "2Gi", "growth": {"limit": "1Gi"}}}, "spec.storage", "must have a growth.limit of at least size"),
    ({"nodes": 3, "storage": {"growth": {"limit": "20Gi", "at": 20}}}, "spec.storage", "must have 50 to 95 percent for growth.at"),
    ({"nodes": 3, "storage": {"growth": {"limit": "20Gi", "step": "much"}}}, "spec.storage", "must have 1% to 100% for growth.step"),
    ({"nodes": 3, "maintenance": {"windows": []}}, "spec.maintenance", "must have 1 to 20 windows"),
    (window(start="24:00"), "spec.maintenance", "must have windows with a time of the day"),
    (window(duration="2d"), "spec.maintenance", "must have windows of 1m to 24h"),
    (window(days=["Monday"]), "spec.maintenance", "Unsupported value"),
    (window(days=[]), "spec.maintenance", "must have windows with 1 to 7 days"),
    ({"nodes": 3, "partitions": {"maxBytes": 5}}, "spec.partitions", "must have at least 100k"),
]
#: (spec, the spec it becomes, the field, what must be said)
CHANGES = [
    ({"nodes": 3}, {"nodes": 2}, "spec.nodes", "must not be less than the number of copies that the cluster keeps"),
    ({"nodes": 3, "storage": {"size": "2Gi"}}, {"nodes": 3, "storage": {"size": "1500Mi"}}, "spec.storage", "volumes can only grow"),
    ({"nodes": 3}, {"nodes": 3, "storage": {"className": "fast"}}, "spec.storage", "must keep its className"),
]


def cluster(spec, name="rides"):
    return {"apiVersion": "ringkv.dev/v1alpha1", "kind": "KvCluster", "metadata": {"name": name}, "spec": spec}


def said(kind, namespace, spec, name="rides"):
    """What the API server answers to an apply, without doing it."""
    command = [kind.kubectl_bin, "apply", "--server-side", "--dry-run=server", "-n", namespace, "-f", "-"]
    done = subprocess.run(command, input=json.dumps(cluster(spec, name)), capture_output=True, text=True, env=kind.env, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def definitions(kind):
    kind.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    kind.kubectl("wait", "--for=condition=Established", "crd/kvclusters.ringkv.dev", "crd/kvtables.ringkv.dev", "--timeout=30s")


def test_what_can_not_work_is_refused_with_what_to_change(kind, definitions, namespace):
    for spec, field, words in REFUSED:
        status, text = said(kind, namespace, spec)
        assert status != 0 and field in text and words in text, f"{spec}: {text}"
    status, text = said(kind, namespace, {"nodes": 3}, name="Rides")
    assert status != 0
    status, text = said(kind, namespace, {"nodes": 3}, name="r" * 41)
    assert status != 0 and "at most 40 characters" in text, text
    for name in ("cluster.yaml", "table.yaml"):
        told = kind.kubectl("apply", "--server-side", "--dry-run=server", "-n", namespace, "-f", ROOT / "examples" / name)
        assert "serverside-applied" in told


def test_changes_that_can_not_be_made_are_refused(kind, definitions, namespace, bare_operator):
    for number, (before, after, field, words) in enumerate(CHANGES):
        name = f"rides-{number}"
        kind.apply(cluster(before, name), namespace=namespace)
        status, text = said(kind, namespace, after, name)
        assert status != 0 and field in text and words in text, f"{before} to {after}: {text}"
        kind.kubectl("delete", "kvcluster", name, "-n", namespace)


def test_a_typo_is_named(kind, definitions, namespace):
    status, text = said(kind, namespace, {"nodes": 3, "replicaFactor": 3})
    assert status != 0 and "replicaFactor" in text, text


def test_explain_has_a_sentence_for_every_field(kind, definitions):
    told = kind.kubectl("explain", "kvcluster.spec", "--recursive=false")
    assert "Number of nodes, 1 to 1000" in told and "<no description>" not in told.replace("\n", " "), told
    assert run(kind.kubectl_bin, "explain", "kvcluster.spec.storage.size", env=kind.env).count("grow") == 1
