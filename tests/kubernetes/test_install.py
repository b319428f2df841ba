"""Acceptance test 1: installed by plain `kubectl apply` and by Helm; a first cluster is Ready within a minute, and goes as its policy says."""

import pytest
from botocore.exceptions import ClientError
from harness.client import create_table, dynamodb
from harness.wait import eventually
from kube.cluster import READY_SECONDS
from kube.operator import NAMESPACE


def use(rides):
    """A table with an item, by the keys of the Secret."""
    access_key, secret_key = rides.credentials()
    client = rides.client(access_key=access_key, secret_key=secret_key)
    create_table(client, "rides")
    client.put_item(TableName="rides", Item={"id": {"S": "a"}, "v": {"N": "1"}})
    assert client.get_item(TableName="rides", Key={"id": {"S": "a"}}, ConsistentRead=True)["Item"]["v"] == {"N": "1"}
    with pytest.raises(ClientError, match="UnrecognizedClientException|InvalidSignatureException"):
        dynamodb(rides.url(), access_key="RKVOTHER", secret_key="other").list_tables()


def test_plain_manifests_and_volumes_that_stay(kind, bare_operator, cluster, say):
    bare_operator.uninstall()
    bare_operator.apply()
    try:
        rides = cluster(auth=None).apply()
        seconds = rides.wait_ready()
        say(f"Ready after {seconds:.1f} s")
        use(rides)
        volumes = set(rides.volumes())
        assert len(volumes) == 3
        rides.delete()
        eventually("the StatefulSets to go", lambda: not kind.get("statefulsets", rides.namespace), every=0.5)
        assert set(rides.volumes()) == volumes, "policy Retain keeps volumes"
        assert kind.find("secret", "rides-identity", rides.namespace), "and what they belong to"
        assert not kind.find("service", "rides", rides.namespace)
    finally:
        bare_operator.remove()


def test_helm_and_volumes_that_go(kind, operator, cluster, say):
    rides = cluster(auth=None, storage={"size": "1Gi", "policy": "Delete"}).apply()
    seconds = rides.wait_ready()
    say(f"Ready after {seconds:.1f} s")
    use(rides)
    columns = kind.kubectl("get", "kvcluster", "-n", rides.namespace)
    assert "Serving" in columns and "True" in columns, columns
    told = kind.kubectl("describe", "kvcluster", "rides", "-n", rides.namespace)
    assert "Serving" in told
    assert "waits" not in told
    for pod in rides.pods().values():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False and spec["securityContext"]["runAsNonRoot"] is True
        container = spec["containers"][0]["securityContext"]
        assert container["readOnlyRootFilesystem"] is True and container["capabilities"]["drop"] == ["ALL"]
    eventually("a budget of nodes - 1", lambda: kind.find("pdb", "rides", rides.namespace)["spec"]["minAvailable"] == 2, 30, every=0.5)
    rides.delete()
    eventually("the volumes to go", lambda: not rides.volumes(), READY_SECONDS, every=0.5)
    gone = ("rides-identity", "rides-credentials", "rides-1")
    eventually("the Secrets to go", lambda: not any(kind.find("secret", name, rides.namespace) for name in gone), every=0.5)


def test_helm_tests_the_release(kind, operator):
    told = operator.test()
    assert "Succeeded" in told, told
    # Of what it makes only the pod stays, for its log.
    name = "ringkv-test-ringkv"
    assert kind.find("pod", name, NAMESPACE)["status"]["phase"] == "Succeeded"
    eventually("the cluster of the test to go", lambda: not kind.find("kvcluster", name, NAMESPACE), every=0.5)
    for one in ("role", "rolebinding", "serviceaccount"):
        assert not kind.find(one, name, NAMESPACE)
    eventually("its volume to go", lambda: not kind.get("pvc", NAMESPACE), READY_SECONDS, every=0.5)
