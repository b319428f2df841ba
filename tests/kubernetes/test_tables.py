"""`KvTable`: made, adopted if equal, `Drifted` if not; what the other API made is not touched; deleted only where that was asked for."""

import json
import subprocess

import pytest
from harness.client import create_table
from harness.wait import eventually
from kube.table import KvTable

#: (spec, what it becomes or None, the field that is to blame, what must be said)
KEYS = {"partition": {"name": "id", "type": "String"}}
REFUSED = [
    ({"clusterName": "Rides", "keys": KEYS}, None, "spec.clusterName", "must be the name of a KvCluster"),
    ({"clusterName": "rides", "keys": KEYS, "tableName": "a/b"}, None, "spec.tableName", "must be 3 to 255 of"),
    ({"clusterName": "rides", "keys": {"partition": {"name": "", "type": "String"}}}, None, "spec.keys", "must have names of 1 to 255"),
    ({"clusterName": "rides", "keys": {"partition": {"name": "id", "type": "T"}}}, None, "spec.keys", "Unsupported value"),
    ({"clusterName": "rides", "keys": KEYS, "billing": {"mode": "Provisioned"}}, None, "spec.billing", "must have readUnits and writeUnits"),
    ({"clusterName": "rides", "keys": KEYS, "timetolive": "x"}, None, "timetolive", "timetolive"),
    ({"clusterName": "rides", "keys": KEYS}, {"clusterName": "shops", "keys": KEYS}, "spec.clusterName", "must stay as it was"),
    ({"clusterName": "rides", "keys": KEYS}, {"clusterName": "rides", "keys": KEYS, "tableName": "orders"}, "spec.tableName", "must stay as it was"),
    (
        {"clusterName": "rides", "keys": KEYS},
        {"clusterName": "rides", "keys": {"partition": {"name": "id", "type": "Number"}}},
        "spec.keys",
        "must stay as they were",
    ),
]


@pytest.fixture
def rides(operator, cluster):
    """One node: a table asks for no more."""
    rides = cluster(nodes=1, zones=["zone-a"]).apply()
    rides.wait_ready()
    return rides


def described(client, name):
    """What does not change by itself."""
    table = client.describe_table(TableName=name)["Table"]
    return {key: value for key, value in table.items() if key not in ("ItemCount", "TableSizeBytes")}


def names(client):
    return client.list_tables()["TableNames"]


def wait_gone(client, name):
    eventually(f"table {name} to go", lambda: name not in names(client), 60, every=0.5)


def test_a_table_is_made_once_its_cluster_is_there_and_every_column_tells(operator, cluster, kind, namespace):
    rides = cluster()
    keys = {"partition": {"name": "rider", "type": "String"}, "sort": {"name": "booked", "type": "Number"}}
    table = KvTable(rides, "bookings", tableName="Rides.bookings", keys=keys, timeToLive="until", deletionProtection=True).apply()
    table.wait("Ready", "ClusterMissing")
    # With access keys: the operator needs none of them, and sees the tables of their account.
    rides.apply(auth=None)
    table.wait("Ready", "ClusterNotReady")
    rides.wait_ready()
    table.wait_ready()
    access_key, secret_key = rides.credentials()
    client = rides.client(access_key=access_key, secret_key=secret_key)
    found = client.describe_table(TableName="Rides.bookings")["Table"]
    assert [(key["AttributeName"], key["KeyType"]) for key in found["KeySchema"]] == [("rider", "HASH"), ("booked", "RANGE")]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST" and found["DeletionProtectionEnabled"]
    assert client.describe_time_to_live(TableName="Rides.bookings")["TimeToLiveDescription"]["AttributeName"] == "until"
    item = {"rider": {"S": "a"}, "booked": {"N": "1"}}
    client.put_item(TableName="Rides.bookings", Item=item)
    assert client.get_item(TableName="Rides.bookings", Key=item, ConsistentRead=True)["Item"] == item
    status = table.status()
    assert (status["tableId"], status["tableArn"], status["tableStatus"]) == (found["TableId"], found["TableArn"], "ACTIVE")
    assert status["origin"] == "Created" and table.condition("Drifted")[:2] == ("False", "AsDeclared")
    table.wait_event("TableCreated")
    assert not table.finalizers(), "it is retained"
    told = kind.kubectl("get", "kvt", "-n", namespace).splitlines()
    assert told[0].split() == ["NAME", "CLUSTER", "TABLE", "READY", "REASON", "AGE"]
    assert told[1].split()[:5] == ["bookings", "rides", "Rides.bookings", "True", "TableActive"]
    told = kind.kubectl("get", "kvcluster,kvtable,pods", "-n", namespace)
    assert all(name in told for name in ("kvcluster.ringkv.dev/rides", "kvtable.ringkv.dev/bookings", "pod/rides-1-0")), told
    assert "<no description>" not in kind.kubectl("explain", "kvtable.spec", "--recursive=false").replace("\n", " ")


def test_what_is_equal_is_adopted_what_differs_is_told_and_what_nobody_declares_is_left(rides):
    client = rides.client()
    for name in ("equal", "other", "unnamed"):
        create_table(client, name, sort_key="at" if name == "other" else None)
    client.update_table(TableName="equal", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6})
    client.put_item(TableName="equal", Item={"id": {"S": "kept"}})
    eventually("equal to be ACTIVE", lambda: described(client, "equal")["TableStatus"] == "ACTIVE", 30)
    before = {name: described(client, name) for name in ("equal", "other", "unnamed")}

    equal, other = KvTable(rides, "equal").apply(), KvTable(rides, "other", deletionPolicy="Delete").apply()
    equal.wait_ready()
    why = other.wait("Drifted", "KeysDiffer")
    assert "partition key id (S) and sort key at (N)" in why and "partition key id (S) and no sort key" in why, why
    assert other.condition("Drifted")[0] == "True" and other.condition("Ready")[:2] == ("False", "KeysDiffer")
    assert equal.status()["origin"] == "Adopted"
    equal.wait_event("TableAdopted")
    other.wait_event("KeysDiffer")
    assert {name: described(client, name) for name in before} == before, "nothing was changed"
    assert client.get_item(TableName="equal", Key={"id": {"S": "kept"}}, ConsistentRead=True)["Item"]
    assert not client.list_tags_of_resource(ResourceArn=before["equal"]["TableArn"])["Tags"]

    # What is declared is brought about, now and when the other API changes it.
    equal.apply(billing={"mode": "PayPerRequest"})
    eventually("billing on demand", lambda: "BillingModeSummary" in described(client, "equal"), 60, every=0.5)
    equal.wait_event("TableChanged")
    client.update_table(TableName="equal", BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    eventually("billing on demand again", lambda: "BillingModeSummary" in described(client, "equal"), 60, every=0.5)

    # The older one counts.
    twice = KvTable(rides, "equal-too", tableName="equal", billing={"mode": "Provisioned", "readUnits": 9, "writeUnits": 9}).apply()
    assert "KvTable equal declares table equal too" in twice.wait("Ready", "DeclaredTwice")

    # Neither goes with its KvTable: one was never ours, the other has other keys.
    for table in (twice, equal.apply(deletionPolicy="Delete").wait_ready(), other):
        table.delete()
    assert set(names(client)) == {"equal", "other", "unnamed"}
    for name in ("other", "unnamed"):
        assert described(client, name) == before[name]


def test_a_table_goes_with_its_kvtable_only_where_that_was_declared(rides):
    client = rides.client()
    kept = KvTable(rides, "kept").apply().wait_ready()
    goes = KvTable(rides, "goes", deletionPolicy="Delete").apply().wait_ready()
    turned = KvTable(rides, "turned", deletionPolicy="Delete").apply().wait_ready()
    assert goes.finalizers() == turned.finalizers() == ["ringkv.dev/table"] and not kept.finalizers()
    turned.apply(deletionPolicy="Retain")
    eventually("the finalizer to go", lambda: not turned.finalizers(), 30, every=0.2)
    for table in (kept, goes, turned):
        table.delete()
    wait_gone(client, "goes")
    assert set(names(client)) == {"kept", "turned"}
    # Another KvTable of the name takes what was kept for what it is, and does not delete it.
    again = KvTable(rides, "kept", deletionPolicy="Delete").apply().wait_ready()
    assert again.status()["origin"] == "Adopted"
    again.delete()
    assert "kept" in names(client)
    # What is protected holds its KvTable until a person decides.
    safe = KvTable(rides, "safe", deletionPolicy="Delete", deletionProtection=True).apply().wait_ready()
    rides.kind.kubectl("delete", "kvtable", "safe", "-n", rides.namespace, "--wait=false")
    assert "DeleteTable was refused" in safe.wait("Ready", "Refused")
    assert "safe" in names(client)
    safe.apply(deletionProtection=False)
    eventually("safe to go", lambda: safe.get() is None, 90, every=0.5)
    wait_gone(client, "safe")


def test_a_table_that_the_other_api_deletes_is_made_again(rides):
    client = rides.client()
    table = KvTable(rides, "orders").apply().wait_ready()
    before = table.status()["tableId"]
    client.delete_table(TableName="orders")
    eventually("another table", lambda: table.status().get("tableId", before) != before, 90, every=0.5)
    table.wait_ready()
    assert table.status()["origin"] == "Created"


def test_without_its_cluster_a_kvtable_just_goes(rides):
    table = KvTable(rides, "orders", deletionPolicy="Delete").apply().wait_ready()
    rides.delete()
    table.wait("Ready", "ClusterMissing")
    table.delete(seconds=30)


def test_specs_that_can_not_work_are_refused_with_what_to_change(kind, operator, namespace):
    def apply(name, spec, *options):
        command = [kind.kubectl_bin, "apply", "--server-side", "-n", namespace, *options, "-f", "-"]
        told = {"apiVersion": "ringkv.dev/v1alpha1", "kind": "KvTable", "metadata": {"name": name}, "spec": spec}
        done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, env=kind.env, timeout=60)
        return done.returncode, done.stdout + done.stderr

    for number, (spec, changed, field, words) in enumerate(REFUSED):
        name = f"orders-{number}"
        if changed:
            status, text = apply(name, spec)
            assert status == 0, text
        status, text = apply(name, changed or spec, "--dry-run=server")
        assert status != 0 and field in text and words in text, f"{spec} to {changed}: {text}"
    status, text = apply("ab", {"clusterName": "rides", "keys": KEYS}, "--dry-run=server")
    assert status != 0 and "at least 3 characters" in text, text
