"""Acceptance tests 3, 4 and 9: rolling restarts, the operator's own upgrade, and every pod gone at once."""

import time

from harness.client import create_table
from harness.load import Load
from harness.wait import eventually
from test_scale import TABLE, finish, loaded


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def test_changed_resources_roll_one_pod_at_a_time_without_a_failed_request(operator, cluster, say):
    rides = cluster(resources={"requests": {"cpu": "20m", "memory": "64Mi"}})
    load = loaded(rides)
    before, begin = rides.uids(), time.monotonic()
    rides.apply(resources={"requests": {"cpu": "25m", "memory": "64Mi"}})
    away = 0

    def rolled():
        nonlocal away
        pods = rides.pods()
        away = max(away, 3 - sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in pods.values()))
        assert away <= 1, "two pods are away at once"
        return len(pods) == 3 and all(pods[name]["metadata"]["uid"] != uid for name, uid in before.items() if name in pods)

    eventually("three new pods", rolled, 240, every=0.2)
    rides.settle(3)
    say(f"rolled in {time.monotonic() - begin:.0f} s")
    asked = {pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] for pod in rides.pods().values()}
    assert asked == {"25m"}
    finish(load, say)


def test_an_upgrade_of_the_operator_leaves_pods_alone(kind, operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    before = rides.pods()
    assert rides.condition("RestartPending")[:2] == ("False", "AllCurrent"), rides.condition("RestartPending")
    operators = {pod["metadata"]["uid"] for pod in operator.pods()}
    # Another image of nodes is what a newer operator brings: pods of before keep theirs until they restart.
    operator.install("nodeImage.tag=newer", "podAnnotations.release=newer", "logLevel=debug")
    operator.wait_up()
    eventually("new operators", lambda: not operators & {pod["metadata"]["uid"] for pod in operator.pods()}, 60, every=0.5)
    eventually("the restart to be due", lambda: rides.condition("RestartPending")[:2] == ("True", "OlderImage"), 60, every=0.5)
    told = rides.condition("RestartPending")[2]
    assert "3 of 3 nodes" in told and ":newer" in told and "kubectl ringkv restart" in told, told
    seen = rides.get()["metadata"]["resourceVersion"]
    load.go_on(20)
    after = rides.pods()
    for name, pod in before.items():
        assert after[name]["metadata"]["uid"] == pod["metadata"]["uid"], f"{name} was replaced"
        assert after[name]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert rides.condition("Ready")[0] == "True"
    finish(load, say)
    say(f"status written since: {rides.get()['metadata']['resourceVersion'] != seen}")
    operator.install()
    operator.wait_up()
    eventually("nothing to be due", lambda: rides.condition("RestartPending")[0] == "False", 60, every=0.5)


def test_every_pod_deleted_at_once_comes_back_with_its_data(kind, operator, cluster, say):
    rides = cluster().apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    load = Load([rides.url()], TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(200)
    before = rides.uids()
    kind.kubectl("delete", "pods", "-n", rides.namespace, "-l", "ringkv.dev/cluster=rides", "--wait=false")
    begin = time.monotonic()
    eventually(
        "three new pods",
        lambda: len(rides.pods()) == 3 and not set(before.values()) & set(rides.uids().values()) and all(map(is_ready, rides.pods().values())),
        180,
        every=0.5,
    )
    load.waits_for_acks(100)
    say(f"served again {time.monotonic() - begin:.0f} s after the deletion")
    load.stop()
    load.verify()
    say(load.report())
    rides.settle(3)
