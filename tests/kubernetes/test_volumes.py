"""Acceptance test 5: volumes grow while their nodes serve, by a person's hand and by themselves, and a full disk refuses writes, serves reads and is mended
by a larger size alone. Volumes of the driver in kind/csi-loop have a real size.

A node keeps 256 MiB free, 64 MiB of ballast and up to 176 MiB of log, and XFS takes 64 MiB of a small volume for its own log: 2Gi leave room for what is tested, 512Mi
would refuse writes as soon as the log had grown.
"""

import time

import pytest
from harness.client import create_table
from harness.wait import eventually
from kube.kind import HERE, run
from kube.volume import Volume
from test_scale import TABLE, finish, loaded

NODES = ["rides-1", "rides-2", "rides-3"]
ITEMS = 40
#: Less than a node keeps free, and enough for it to do all but take writes.
LEAVE = 100 << 20


@pytest.fixture(scope="module")
def loop(kind):
    """A StorageClass whose volumes can grow."""
    run(HERE / "kind/csi-loop/install", kind.name, kind.kubeconfig, seconds=300)
    return "loop"


def capacities(rides):
    return [volume["status"].get("capacity", {}).get("storage") for _, volume in sorted(rides.volumes().items())]


def put(client, key):
    return client.put_item(TableName=TABLE, Item={"id": {"S": key}, "pad": {"S": "x" * 1000}})


def refusal(call):
    """The error code that a call of boto3 is refused with; None if it is not."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - boto3 makes its exceptions' classes as it goes
        answer = getattr(error, "response", None)
        if answer is None:
            raise
        return answer["Error"]["Code"]
    return None


def test_volumes_grow_while_their_nodes_serve(loop, operator, cluster, say):
    rides = cluster(storage={"size": "2Gi", "className": loop})
    load = loaded(rides)
    before = rides.uids()
    begin = time.monotonic()
    rides.apply(storage={"size": "3Gi", "className": loop})
    eventually("three volumes of 3Gi", lambda: capacities(rides) == ["3Gi"] * 3, 180, every=1)
    say(f"grown after {time.monotonic() - begin:.0f} s")
    assert rides.uids() == before, "no pod was replaced"
    for name in NODES:
        assert Volume(rides, name).sizes()[0] > 2 << 30, f"the file system of {name} has grown"
    finish(load, say)


@pytest.mark.long
def test_a_volume_grows_by_itself_when_it_is_full_enough(loop, operator, cluster, say):
    storage = {"size": "2Gi", "className": loop, "growth": {"limit": "4Gi", "step": "50%"}}
    rides = cluster(storage=storage)
    load = loaded(rides)
    before = rides.uids()
    full = Volume(rides, "rides-2")
    begin = time.monotonic()
    full.fill_to(82)
    assert full.sizes()[1] > 300 << 20, "it still takes writes"
    eventually("rides-2 to have 3Gi", lambda: full.capacity() == "3Gi", 120, every=0.5)
    say(f"grown by itself after {time.monotonic() - begin:.0f} s")
    assert capacities(rides) == ["2Gi", "3Gi", "2Gi"], "the others are not full"
    finish(load, say)
    # Once more, to the limit and no further, which is told.
    full.fill_to(82, "filler-2")
    eventually("rides-2 to have 4Gi", lambda: full.capacity() == "4Gi", 120, every=0.5)
    eventually("nothing to be wrong", lambda: rides.condition("Degraded")[0] == "False", 60, every=0.5)
    full.fill_to(85, "filler-3")
    eventually(f"that to be told, {rides.told()}", lambda: rides.condition("Degraded")[1] == "VolumesAtLimit", 60, every=0.5)
    message = rides.condition("Degraded")[2]
    assert "rides-2" in message and "spec.storage.growth.limit (4Gi)" in message, message
    assert rides.condition("Ready")[0] == "True"
    told = {node["name"]: node.get("diskUsedPercent") for node in rides.status()["nodes"]}
    assert 80 <= told["rides-2"] <= 90, told
    # A smaller size than what is there changes nothing, a larger limit does.
    rides.apply(storage=storage | {"size": "2500Mi", "growth": {"limit": "5Gi"}})
    eventually("rides-2 to have 5Gi", lambda: full.capacity() == "5Gi", 120, every=0.5)
    eventually("the others to have 2500Mi", lambda: capacities(rides) == ["2500Mi", "5Gi", "2500Mi"], 120, every=0.5)
    eventually("nothing to be wrong", lambda: rides.condition("Degraded")[0] == "False", 60, every=0.5)
    assert rides.uids() == before, "no pod was replaced"


@pytest.mark.long
def test_full_disks_refuse_writes_serve_reads_and_are_mended_by_a_larger_size(loop, operator, cluster, say):
    rides = cluster(storage={"size": "2Gi", "className": loop}).apply()
    rides.wait_ready()
    client = rides.client()
    create_table(client, TABLE)
    for n in range(ITEMS):
        put(client, f"k{n}")
    before = rides.uids()
    for name in NODES:
        Volume(rides, name).take(LEAVE)
    # One of them has nothing left at all.
    Volume(rides, NODES[0]).fill()
    code = eventually("writes to be refused", lambda: refusal(lambda: put(client, "k0")), 60, every=0.2)
    assert code == "ThrottlingException", code
    eventually(f"that to be told, {rides.told()}", lambda: rides.condition("Degraded")[1] == "WritesRefused", 60, every=0.5)
    for n in range(ITEMS):
        assert "Item" in client.get_item(TableName=TABLE, Key={"id": {"S": f"k{n}"}}, ConsistentRead=True)
        assert refusal(lambda n=n: put(client, f"k{n}")) == "ThrottlingException"
    assert rides.uids() == before and rides.condition("Ready")[0] == "True"
    begin = time.monotonic()
    rides.apply(storage={"size": "3Gi", "className": loop})
    for n in range(ITEMS):
        eventually(f"k{n} to be taken again", lambda n=n: refusal(lambda: put(client, f"k{n}")) is None, 180, every=0.5)
    say(f"writes are taken again {time.monotonic() - begin:.0f} s after the larger size")
    eventually("nothing to be wrong", lambda: rides.condition("Degraded")[0] == "False", 60, every=0.5)
    assert rides.uids() == before, "no pod was replaced"
    restarts = {pod: status["status"]["containerStatuses"][0]["restartCount"] for pod, status in rides.pods().items()}
    assert set(restarts.values()) == {0}, restarts


def test_a_class_that_can_not_grow_is_told(operator, cluster):
    rides = cluster(storage={"size": "1Gi"}).apply()
    rides.wait_ready()
    rides.apply(storage={"size": "2Gi"})
    eventually(f"a condition that says so, {rides.told()}", lambda: "data-rides-" in rides.condition("Degraded")[2], 60, every=0.5)
    assert rides.condition("Ready")[0] == "True"
