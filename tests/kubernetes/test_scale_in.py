"""Acceptance test 12: scale-in with a node down, with less space than the data need, and below the replication factor: it waits with a reason and goes on by
itself, or is refused, and nothing is lost."""

import base64
import os
import subprocess
import time

import pytest
from harness.client import create_table
from harness.wait import eventually
from kube.volume import Volume
from test_failures import docker, workers_up
from test_scale import TABLE, loaded
from test_volumes import loop  # noqa: F401 - a fixture

NAMES = {f"rides-{n}-0" for n in (1, 2, 3)}
MEBIBYTE = 1 << 20
#: Below what a node keeps free: it takes no more from users, and has no room for what comes.
LEAVE = 240 * MEBIBYTE
TABLES = [f"trips-{n}" for n in range(4)]
ITEMS, ITEM_BYTES = 50, 370_000


def states(rides):
    return {node["name"]: node["state"] for node in rides.status().get("nodes", [])}


def waits(rides, words):
    """Whether the cluster waits, for the newest spec, for what the words say."""
    _, reason, message = rides.condition("Progressing")
    return reason == "Waiting" and all(word in message for word in words)


@pytest.mark.long
def test_with_a_node_down_nobody_is_drained_until_it_is_back(kind, operator, cluster, say):
    rides = cluster(nodes=4, repair={"after": "1h"})
    load = loaded(rides)
    zones = {node["name"]: node["zone"] for node in rides.status()["nodes"]}
    assert zones["rides-4"] == "zone-a", "the youngest of the fullest zone goes"
    worker = rides.pods()["rides-2-0"]["spec"]["nodeName"]
    assert rides.pods()["rides-4-0"]["spec"]["nodeName"] != worker
    docker("kill", worker)
    try:
        eventually("rides-2 to be missed", lambda: states(rides).get("rides-2") != "Up", 120, every=0.5)
        # The nodes miss one another after five seconds, an operator that was on that worker is replaced after some more.
        load.go_on(20)
        rides.scale(3)
        words = ("rides-4 is drained once rides-2 is up again", "spec.repair.after")
        eventually(f"it to wait for rides-2, {rides.told()}", lambda: waits(rides, words), 120, every=0.5)
        load.go_on(20)
        assert waits(rides, words) and states(rides)["rides-4"] == "Up", rides.told()
        assert "rides-2" in rides.status()["plan"]["waitingFor"]
        load.waits_for_acks(100)
    finally:
        docker("start", worker)
        kind.attach()
        workers_up(kind)
    begin = time.monotonic()
    rides.settle(3, 400)
    say(f"three nodes {time.monotonic() - begin:.0f} s after the worker was back; {load.report()}")
    assert set(rides.pods()) == NAMES
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    operator.wait_up()


@pytest.mark.long
def test_without_room_for_what_a_node_holds_it_is_not_drained(loop, operator, cluster, say):  # noqa: F811
    rides = cluster(nodes=4, storage={"size": "2Gi", "className": loop}).apply()
    rides.wait_ready()
    client = rides.client(retries=5)
    pad = base64.b64encode(os.urandom(ITEM_BYTES * 3 // 4)).decode()
    for table in TABLES:
        create_table(client, table)
        # More than nodes keep in memory only: what is not on disk yet is in no count.
        for n in range(ITEMS):
            client.put_item(TableName=table, Item={"id": {"S": f"k{n}"}, "pad": {"S": pad}})
    load = loaded(rides)
    # What rides-4 holds goes to the other one of its zone.
    narrow = Volume(rides, "rides-1")
    narrow.take(LEAVE)
    eventually(f"that to be told, {rides.told()}", lambda: rides.condition("Degraded")[1] == "WritesRefused", 60, every=0.5)
    # Leaders look at the size of what they lead every ten seconds.
    load.go_on(40)
    rides.scale(3)
    words = ("rides-4", "rides-1 would get", "MiB and has room for")
    eventually(f"it to wait for room, {rides.told()}", lambda: waits(rides, words), 60, every=0.5)
    load.go_on(20)
    assert waits(rides, words) and states(rides)["rides-4"] == "Up", rides.told()
    say(rides.condition("Progressing")[2])
    begin = time.monotonic()
    rides.apply(nodes=3, storage={"size": "3Gi", "className": loop})
    rides.settle(3, 400)
    say(f"three nodes {time.monotonic() - begin:.0f} s after there was room")
    assert set(rides.pods()) == NAMES
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    for table in TABLES:
        for n in range(ITEMS):
            item = client.get_item(TableName=table, Key={"id": {"S": f"k{n}"}}, ConsistentRead=True)["Item"]
            assert item["pad"]["S"] == pad, f"{table} k{n}"


def test_below_the_replication_factor_is_refused(kind, operator, cluster):
    rides = cluster().apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    command = [kind.kubectl_bin, "scale", f"kvcluster/{rides.name}", "--replicas=2", "-n", rides.namespace]
    done = subprocess.run(command, capture_output=True, text=True, env=kind.env, timeout=60)
    words = "must not be less than the number of copies that the cluster keeps"
    assert done.returncode != 0 and words in done.stderr and "replicationFactor" in done.stderr, done.stderr
    assert rides.get()["spec"]["nodes"] == 3
    rides.settle(3)
    assert set(rides.pods()) == NAMES
