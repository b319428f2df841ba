"""`kubectl ringkv`: the operator's program under the name by which kubectl finds it, on this machine, against nodes that only the cluster's network reaches."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from harness.client import create_table
from harness.load import Load
from harness.wait import eventually
from test_scale import TABLE, finish, loaded

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringkv"
BIN = Path(os.environ.get("RINGKV_BIN") or Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "release")


@pytest.fixture
def ringkv(kind, tmp_path):
    """Runs `kubectl ringkv …` and answers (status, stdout, stderr)."""
    program = BIN / "kv-operator"
    assert program.is_file(), f"{program} is missing: make build"
    (tmp_path / "kubectl-ringkv").symlink_to(program)
    env = kind.env | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(*arguments, seconds=60):
        command = [kind.kubectl_bin, "ringkv", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=env)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def told(ringkv, namespace):
    """What a command in the test's namespace prints; it must succeed."""

    def run(*arguments):
        status, out, err = ringkv(*arguments, "-n", namespace)
        assert status == 0, f"{arguments}: {status}: {err}"
        return out

    return run


def orders(rides):
    annotations = rides.get()["metadata"].get("annotations", {})
    return json.loads(annotations.get("ringkv.dev/orders", "{}"))


def node(rides, name):
    return next((node for node in rides.status()["nodes"] if node["name"] == name), {})


def test_what_is_there_and_what_would_be_is_told(operator, cluster, told, tmp_path, say):
    rides = cluster().apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    rides.settle(3)
    # The only cluster of the namespace needs no name.
    table = told("status")
    for name in ("rides-1", "rides-2", "rides-3"):
        assert any(line.startswith(name) and " Up " in line for line in table.splitlines()), table
    assert "Ready True (Serving)" in table
    shown = json.loads(told("status", "rides", "-o", "json"))
    assert shown["status"]["clusterId"] == rides.status()["clusterId"] and "managedFields" not in shown["metadata"]

    before, pods = rides.get()["metadata"]["generation"], rides.uids()
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(rides.object() | {"spec": rides.spec | {"nodes": 5}}))
    plan = told("plan", "-f", file)
    assert "+ rides-4 in zone " in plan and "+ rides-5 in zone " in plan and "to move: " in plan, plan
    assert len(json.loads(told("plan", "-f", file, "-o", "json"))["join"]) == 2
    assert rides.get()["metadata"]["generation"] == before and rides.uids() == pods, "nothing was changed"

    nodes = json.loads(told("top", "nodes", "-o", "json"))
    assert sorted(row["name"] for row in nodes) == ["rides-1", "rides-2", "rides-3"]
    assert told("top", "nodes", "rides").startswith("NODE")

    load = Load([rides.url()], TABLE, workers=4, think=0.02).start()
    load.waits_for_acks(100)

    def partitions():
        return {row["partition"] for row in json.loads(told("top", "partitions", "-o", "json", "--limit", "1000")) if row["table"] == TABLE}

    there = partitions()
    key = sorted(register.name for register in load.registers)[len(load.registers) // 2]
    said = told("split", TABLE, "--at", json.dumps({"id": {"S": key}}))
    child = int(said.split()[-1])
    eventually(f"partition {child} beside {there}", lambda: child in partitions() and len(partitions()) > len(there), 60, every=0.5)
    finish(load, say)


def test_one_node_restarts_without_a_failed_request(operator, cluster, told, say):
    rides = cluster()
    load = loaded(rides)
    before = rides.uids()
    assert "rides-2 will be restarted" in told("restart", "rides-2", "-c", "rides")
    assert list(orders(rides)["restart"]) == ["2"]
    eventually("another pod of rides-2", lambda: rides.uids().get("rides-2-0") not in (None, before["rides-2-0"]), 120, every=0.5)
    rides.settle(3)
    load.go_on(15)
    after = rides.uids()
    assert after.pop("rides-2-0") != before.pop("rides-2-0") and after == before, "no other pod was replaced, and none once more"
    finish(load, say)


def test_a_node_is_drained_and_taken_back_without_a_failed_request(operator, cluster, told, say):
    rides = cluster(nodes=4)
    load = loaded(rides)
    rides.settle(4)
    assert "rides-4 will be emptied" in told("drain", "rides-4")
    assert orders(rides)["drain"] == [4]

    def is_empty():
        drained = node(rides, "rides-4")
        return drained["state"] == "Draining" and drained["share"] == 0 and drained["partitions"] == 0

    eventually("rides-4 to be empty", is_empty, 240, every=0.5)
    assert len(rides.pods()) == 4, "it stays"
    assert "rides-4 will bear data again" in told("drain", "rides-4", "--undo")
    assert not orders(rides).get("drain")
    rides.settle(4)
    assert node(rides, "rides-4")["share"] > 0
    finish(load, say)


def test_mistakes_and_missing_permissions_are_told(kind, operator, cluster, namespace, ringkv, tmp_path):
    assert ringkv("status", "-n", namespace)[0] == 66
    rides = cluster().apply()
    rides.wait_ready()
    status, _, err = ringkv("status", "ride", "-n", namespace)
    assert status == 66 and "there is rides" in err, err
    status, _, err = ringkv("restart", "rides-9", "-n", namespace)
    assert status == 64 and "rides-1, rides-2, rides-3" in err, err
    assert ringkv("drain")[0] == 64
    assert ringkv("status", "--context", "nowhere")[0] == 64
    assert ringkv("status", "--kubeconfig", tmp_path / "none")[0] == 66
    status, _, err = ringkv("give-up", "--cluster-id", "other", "-n", namespace)
    assert status == 64 and rides.status()["clusterId"] in err, err
    assert not orders(rides), "nothing was ordered"
    other = cluster(name="trips", nodes=1, zones=["zone-a"]).apply()
    status, _, err = ringkv("status", "-n", namespace)
    assert status == 64 and "rides, trips" in err, err
    other.delete()

    # Who may look at KvClusters, and at nothing else.
    kind.kubectl("create", "serviceaccount", "viewer", "-n", namespace)
    kind.kubectl("create", "role", "viewer", "--verb=get,list", "--resource=kvclusters.ringkv.dev", "-n", namespace)
    kind.kubectl("create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={namespace}:viewer", "-n", namespace)
    token = kind.kubectl("create", "token", "viewer", "-n", namespace).strip()
    config = tmp_path / "viewer"
    shutil.copy(kind.kubeconfig, config)
    kind.kubectl("config", "set-credentials", "viewer", f"--token={token}", "--kubeconfig", config)
    kind.kubectl(
        "config", "set-context", "viewer", f"--cluster=kind-{kind.name}", "--user=viewer", f"--namespace={namespace}", "--kubeconfig", config
    )
    as_viewer = ("--kubeconfig", config, "--context", "viewer", "-c", "rides")
    status, out, err = ringkv("status", *as_viewer)
    assert status == 0 and "rides-1" in out, err
    status, _, err = ringkv("top", *as_viewer)
    assert status == 77 and "secrets/rides-identity" in err, err
