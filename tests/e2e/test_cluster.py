"""The new user's way: a file, three nodes in three zones, what the status says, and what may happen to any of it."""

import signal

import pytest

from harness.binaries import REPOSITORY, binary, run
from harness.client import create_table
from harness.process import Process, is_alive
from harness.wait import eventually

TABLE = "rides"


def put(client, key, value):
    client.put_item(TableName=TABLE, Item={"id": {"S": key}, "v": {"N": str(value)}})


def get(client, key):
    item = client.get_item(TableName=TABLE, Key={"id": {"S": key}}, ConsistentRead=True).get("Item")
    return item and int(item["v"]["N"])


def test_a_file_becomes_a_cluster(cluster, say):
    rides = cluster()
    seconds = rides.start()
    say(f"three nodes Ready in {seconds:.1f} s")
    status = rides.status()

    nodes = status["nodes"]
    assert [(n["name"], n["id"], n["zone"], n["state"]) for n in nodes] == [(f"rides-{i}", i, "abc"[i - 1], "Up") for i in (1, 2, 3)]
    assert sum(n["share"] for n in nodes) == pytest.approx(1, abs=0.01) and all(0.2 < n["share"] < 0.5 for n in nodes)
    assert {n["name"]: n["pid"] for n in nodes} == rides.pids() and all(is_alive(n["pid"]) for n in nodes)
    assert [n["endpoint"] for n in nodes] == rides.urls()
    assert {e["url"] for e in status["endpoints"] if e["name"] == "dynamodb"} == set(rides.urls())
    assert status["nodesUp"] == status["replicas"] == 3 and status["observedGeneration"] == 1
    wanted = {"Ready": "True", "Progressing": "False", "Degraded": "False", "DataLost": "False", "HotKey": "False"}
    # For a moment after the start no leader has heard its followers.
    eventually("nothing is wrong", lambda: {c["type"]: c["status"] for c in rides.status()["conditions"]} == wanted, 60, every=0.2)
    status = rides.status()
    assert all(c["lastTransitionTime"] and c["reason"] and "observedGeneration" in c for c in status["conditions"])

    clients = [rides.client(name) for name in rides.names]
    create_table(clients[0], TABLE)
    for n in range(30):
        put(clients[n % 3], f"k{n}", n)
    for n in range(30):
        assert get(clients[(n + 1) % 3], f"k{n}") == n, "a strong read through another node sees the write"

    def counted():
        nodes = rides.status()["nodes"]
        # The table's four partitions and the metadata, if it is counted.
        return all(n["partitions"] >= 4 for n in nodes) and sum(n["leaders"] for n in nodes) >= 4

    eventually("every node has a replica of each partition, each partition a leader", counted, 20, every=0.2)
    table = rides.run("status")[1]
    assert "rides-3" in table and "Ready True" in table
    assert rides.run("status", "-o", "yaml")[1].startswith("apiVersion: ringkv.dev/v1alpha1")


def test_a_mistake_in_the_file_is_told_with_its_line_and_changes_nothing(cluster):
    rides = cluster()
    rides.write("spec:\n  nodes: none\n")
    status, _, err = run(*rides.command())
    assert status == 65 and f"{rides.file}:6: " in err, (status, err)
    assert not rides.dir.exists()

    rides.write("spec:\n  nodes: 3\n")
    rides.start()
    pids, client = rides.pids(), rides.client()
    create_table(client, TABLE)
    for spec, words in (("  nodes: 0\n", ":6: spec.nodes: must be at least 1, got 0"), ("  nodes: 3\n  nodez: 3\n", ":7: spec: unknown field `nodez`")):
        rides.write("spec:\n" + spec)
        rides.operator.hears(f"{rides.file}{words}")
        # The one before may still be told.
        eventually(f"the status says {words}", lambda w=words: w in rides.waits_for("Progressing", "False", "InvalidSpec"), 20, every=0.2)
    rides.write("spec:\n  nodes: 3\n")
    rides.waits_for("Progressing", "False", "UpToDate")
    put(client, "after", 1)
    assert rides.pids() == pids and get(client, "after") == 1
    rides.ready()


def test_a_killed_node_comes_back_with_its_data(cluster):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    for n in range(20):
        put(rides.client(), f"k{n}", n)
    for name in rides.names:
        before = rides.kill_node(name)
        eventually(f"{name} runs again", lambda name=name, before=before: rides.is_running(name) and rides.pid(name) != before, 30)
        rides.operator.hears(f"{name} ended: signal: 9 (SIGKILL)")
        rides.ready()
    for name in rides.names:
        client = rides.client(name)
        assert [get(client, f"k{n}") for n in range(20)] == list(range(20))


def test_a_killed_operator_leaves_its_nodes_serving_and_finds_them_again(cluster):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    pids = rides.pids()
    rides.kill_operator()
    for n, name in enumerate(rides.names):
        put(rides.client(name), f"k{n}", n)
    assert rides.status()["nodesUp"] == 3, "status looks for itself"
    rides.start()
    assert rides.pids() == pids
    for name, pid in pids.items():
        rides.operator.hears(f"{name} was running already (pid {pid}), adopted")
    assert [get(rides.client(), f"k{n}") for n in range(3)] == [0, 1, 2]

    # One that dies while nobody looks is started again by the next operator; a pid file alone is no node.
    rides.kill_operator()
    rides.kill_node("rides-2")
    rides.start()
    now = rides.pids()
    assert now["rides-1"] == pids["rides-1"] and now["rides-3"] == pids["rides-3"] and now["rides-2"] != pids["rides-2"]


def test_stop_and_start_again(cluster, say):
    rides = cluster()
    rides.start()
    client = rides.client()
    create_table(client, TABLE)
    for n in range(50):
        put(client, f"k{n}", n)
    rides.stop()
    assert all(node["state"] == "Down" for node in rides.status()["nodes"])
    assert rides.condition("Ready")[:2] == ("False", "Stopped")
    seconds = rides.start()
    say(f"stopped and Ready again in {seconds:.1f} s")
    for name in rides.names:
        assert [get(rides.client(name), f"k{n}") for n in range(50)] == list(range(50))

    # Ctrl-C in the terminal is the same.
    rides.operator.send(signal.SIGINT)
    assert rides.operator.wait(60) == 0, rides.operator.said()
    assert not any(rides.is_running(name) for name in rides.names)
    rides.operator.close()
    rides.operator = None
    status, _, err = rides.run("delete")
    assert status == 64 and rides.dir.exists(), err
    assert rides.run("delete", "--yes")[0] == 0 and not rides.dir.exists()


def test_a_directory_has_one_operator_and_one_cluster(cluster, tmp_path):
    rides = cluster(nodes=1)
    rides.start()
    status, _, err = run(*rides.command())
    assert status == 75 and str(rides.operator.pid) in err, (status, err)
    assert rides.run("delete", "--yes")[0] == 75
    rides.stop()
    other = tmp_path / "other.yaml"
    other.write_text(rides.file.read_text().replace("name: rides", "name: other"))
    status, _, err = run(binary("kv-operator"), "local", "-f", other, "--dir", rides.dir)
    assert status == 78 and "rides" in err, (status, err)



def test_crds_are_those_in_the_repository():
    status, out, err = run(binary("kv-operator"), "crds")
    assert status == 0, err
    written = sorted((REPOSITORY / "crds").glob("*.yaml"))
    assert out == "---\n".join(file.read_text() for file in written), "run: make crds"


def test_an_operator_that_nobody_started_right(tmp_path):
    status, _, err = run(binary("kv-operator"), "local", "-f", tmp_path / "none.yaml")
    assert status == 66 and "none.yaml" in err
    assert run(binary("kv-operator"), "local", "status", "--dir", tmp_path / "nowhere")[0] == 66
    log = tmp_path / "log"
    assert Process((binary("kv-operator"), "local"), log).wait() == 64
