"""Three nodes become five and three again under a load that is checked, without a failed request (issue of scaling, "Real processes")."""

import random
import time

from harness.client import create_table
from harness.load import Load
from harness.wait import eventually

TABLE = "rides"
MOVE_SECONDS = 120


def settle(rides, nodes):
    """Waits until the cluster has so many nodes that are up, and nothing more to do."""

    def look():
        status = rides.condition("Progressing")[0]
        up = [node for node in rides.status().get("nodes", []) if node["state"] == "Up"]
        return len(up) == nodes and status == "False" and rides.condition("Ready")[0] == "True"

    eventually(f"{nodes} nodes", look, MOVE_SECONDS, every=0.5)


def failed_requests(load):
    """What a client saw fail, of requests that only meet planned changes."""
    return {what: load.counts[what] for what in ("unknown", "refused", "failed reads") if load.counts[what]}


def test_three_nodes_become_five_and_three_again_without_a_failed_request(cluster, say):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    # Clients know the first three, which stay: those that leave are the newest.
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    for nodes in (5, 3):
        rides.write(f"spec:\n  nodes: {nodes}\n")
        settle(rides, nodes)
        load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def test_a_growth_that_is_called_off_half_way_leaves_three_nodes_and_no_failed_request(cluster, say):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    rides.write("spec:\n  nodes: 6\n")
    eventually("a fourth node", lambda: len(rides.status().get("nodes", [])) > 3, MOVE_SECONDS, every=0.1)
    load.waits_for_acks(50)
    rides.write("spec:\n  nodes: 3\n")
    settle(rides, 3)
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def test_a_node_that_is_gone_is_replaced_by_another_id_with_its_data(cluster, say):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(200)
    status, _, err = rides.run("replace", "rides-2")
    assert status == 0, err

    def replaced():
        up = {node["id"] for node in rides.status().get("nodes", []) if node["state"] == "Up"}
        return len(up) == 3 and 2 not in up and rides.condition("Progressing")[0] == "False"

    eventually("another node in the place of rides-2", replaced, MOVE_SECONDS, every=0.5)
    load.urls = [node["endpoint"] for node in rides.status()["nodes"] if node["state"] == "Up"]
    load.waits_for_acks(200)
    load.stop()
    load.verify()
    say(load.report())


def test_nodes_restart_one_by_one_and_every_partition_goes_on(cluster, say):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    before = rides.pids()
    status, _, err = rides.run("restart")
    assert status == 0, err

    def rolled():
        now = rides.pids()
        return all(now.get(name) not in (None, pid) for name, pid in before.items()) and rides.condition("Progressing")[0] == "False"

    eventually("three new processes", rolled, MOVE_SECONDS, every=0.2)
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()
    assert load.longest_gap < 3, load.report()


def groups(*rows):
    """The lines of `spec.nodeGroups`, of (name, count, weight)."""
    listed = "".join(f"  - {{name: {name}, count: {count}, weight: {weight}}}\n" for name, count, weight in rows)
    return "  nodeGroups:\n" + listed


def test_a_weight_that_changes_moves_data_without_a_failed_request(cluster, say):
    rides = cluster()
    nodes = "spec:\n  nodes: 4\n  replicationFactor: 1\n"
    rides.write(nodes + groups(("small", 2, 1), ("large", 2, 1)))
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)

    def shares(weight):
        small = sum(sorted(node["share"] for node in rides.status()["nodes"])[:2])
        return rides.condition("Progressing")[0] == "False" and abs(small - 2 / (2 + 2 * weight)) < 0.06

    settle(rides, 4)
    for weight in (3, 1):
        rides.write(nodes + groups(("small", 2, 1), ("large", 2, weight)))
        eventually(f"shares of weight {weight}", lambda weight=weight: shares(weight), MOVE_SECONDS, every=0.5)
        load.waits_for_acks(50)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def test_copies_become_more_and_fewer_without_a_failed_request(cluster, say):
    rides = cluster(nodes=1)
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    for nodes, copies in ((3, 3), (5, 5), (5, 3)):
        rides.write(f"spec:\n  nodes: {nodes}\n  replicationFactor: {copies}\n")
        eventually(f"{copies} copies", lambda copies=copies: sum(node["partitions"] for node in rides.status()["nodes"]) == 4 * copies, MOVE_SECONDS, every=0.5)
        settle(rides, nodes)
        load.waits_for_acks(50)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def test_each_node_dies_once_while_data_moves(cluster, say):
    rides = cluster()
    # Slow enough for moves to be under way at each death.
    limit = "  rebalance:\n    bytesPerSecond: 300000\n"
    rides.write(f"spec:\n  nodes: 3\n{limit}")
    rides.start()
    create_table(rides.client(), TABLE)
    client = rides.client()
    for n in range(40):
        client.put_item(TableName=TABLE, Item={"id": {"S": f"k{n}"}, "v": {"B": random.Random(n).randbytes(100_000)}})
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    rides.write(f"spec:\n  nodes: 5\n{limit}")
    eventually("data that move", lambda: (rides.status().get("plan") or {}).get("bytesDone", 0) > 0, MOVE_SECONDS, every=0.1)
    moving = 0
    for name in (f"rides-{id}" for id in range(1, 6)):
        moving += rides.condition("Progressing")[0] == "True"
        assert rides.kill_node(name), f"{name} ran"
        load.waits_for_acks(30)
        eventually(f"{name} is back", lambda name=name: rides.is_running(name), 60)
        # It catches up first: two of three that are behind are nobody's fault but the killer's.
        rides.ready()
    settle(rides, 5)
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    assert len(client.scan(TableName=TABLE, ProjectionExpression="id", ConsistentRead=True)["Items"]) > 0
    for n in range(40):
        assert client.get_item(TableName=TABLE, Key={"id": {"S": f"k{n}"}}, ConsistentRead=True)["Item"]["v"]["B"] == random.Random(n).randbytes(100_000)
    say(f"{moving} of 5 died while data moved; {load.report()}")
    assert moving >= 2, "the moves were over too soon"


def test_moves_keep_to_their_limit_and_tell_their_bytes(cluster, say):
    rides = cluster()
    limit = 200_000
    rides.write(f"spec:\n  nodes: 3\n  rebalance:\n    bytesPerSecond: {limit}\n")
    rides.start()
    client = rides.client()
    create_table(client, TABLE)
    for n in range(40):
        client.put_item(TableName=TABLE, Item={"id": {"S": f"k{n}"}, "v": {"B": random.Random(n).randbytes(100_000)}})
    rides.write(f"spec:\n  nodes: 4\n  rebalance:\n    bytesPerSecond: {limit}\n")
    seen, begin = [], time.monotonic()

    def grown():
        done = (rides.status().get("plan") or {}).get("bytesDone", 0)
        seen.append((time.monotonic() - begin, done))
        up = [node for node in rides.status().get("nodes", []) if node["state"] == "Up"]
        return len(up) == 4 and rides.condition("Progressing")[0] == "False" and rides.condition("Ready")[0] == "True"

    eventually("four nodes", grown, MOVE_SECONDS, every=0.2)
    most = max(done for _, done in seen)
    first = next(at for at, done in seen if done)
    last = next(at for at, done in seen if done == most)
    say(f"{most} bytes in {last - first:.1f} s at {limit} a node and second")
    # Three nodes send, each may have a second's bytes saved up, and what is told is rounded and a second late.
    assert most > 1_000_000, seen
    assert most <= 3 * limit * (last - first + 3) * 1.2, seen
    assert len(client.scan(TableName=TABLE, ProjectionExpression="id", ConsistentRead=True)["Items"]) > 0
