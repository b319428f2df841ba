"""Acceptance tests 6 to 10: specs that can't start, workers that die, are drained or restart, and a cluster deleted by mistake."""

import subprocess
import time

from harness.client import create_table
from harness.load import Load
from harness.wait import eventually
from test_restart import is_ready
from test_scale import TABLE, failed_requests, finish, loaded


def docker(*arguments):
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=120)


def workers_up(kind):
    kind.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=180s", seconds=190)


def test_an_image_that_does_not_exist_breaks_one_pod_and_is_mended_at_once(operator, cluster, say):
    rides = cluster(repair={"after": "1h"})
    load = loaded(rides)
    before = rides.uids()
    rides.apply(image="ringkv/kv-node:nowhere")
    eventually("a pod that can't start", lambda: rides.condition("Degraded")[1] == "CannotStart", 120, every=0.5)
    assert "rides-" in rides.condition("Degraded")[2]
    load.go_on(10)
    whole = [name for name, pod in rides.pods().items() if is_ready(pod) and pod["metadata"]["uid"] == before[name]]
    assert len(whole) == 2, f"only {whole} are left"
    begin = time.monotonic()
    rides.apply(image=None)
    eventually("all pods to be ready", lambda: sum(map(is_ready, rides.pods().values())) == 3, 60, every=0.5)
    say(f"mended in {time.monotonic() - begin:.0f} s")
    rides.settle(3)
    finish(load, say)


def test_a_cluster_deleted_by_mistake_is_adopted_with_its_data(operator, cluster, say):
    rides = cluster().apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    load = Load([rides.url()], TABLE, workers=2).start()
    load.waits_for_acks(200)
    load.stop()
    cluster_id = rides.status()["clusterId"]
    rides.delete()
    rides.apply()
    eventually("the volumes to be noticed", lambda: rides.condition("Degraded")[1] == "OrphanedVolumes", 60, every=0.5)
    assert cluster_id in rides.condition("Degraded")[2] and not rides.pods()
    rides.apply(storage={"size": "1Gi", "adopt": cluster_id})
    begin = time.monotonic()
    rides.wait_ready(120)
    say(f"Ready {time.monotonic() - begin:.0f} s after adopt")
    assert rides.status()["clusterId"] == cluster_id
    load.urls = [rides.url()]
    load.verify()


def test_every_worker_stopped_and_started(kind, operator, cluster, say):
    rides = cluster().apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    load = Load([rides.url()], TABLE, workers=2, think=0.01).start()
    load.waits_for_acks(200)
    workers = [node["metadata"]["name"] for node in kind.get("nodes") if "control-plane" not in node["metadata"]["name"]]
    docker("kill", *workers)
    load.go_on(5)
    begin = time.monotonic()
    docker("start", *workers)
    kind.attach()
    workers_up(kind)
    load.waits_for_acks(50, 300)
    say(f"served again {time.monotonic() - begin:.0f} s after the start of the workers")
    load.stop()
    load.verify()
    operator.wait_up()
    rides.settle(3)


def test_a_worker_that_dies_is_served_without_and_its_node_replaced(kind, operator, cluster, say):
    rides = cluster(repair={"after": "20s"})
    load = loaded(rides)
    at = {pod["spec"]["nodeName"]: name for name, pod in rides.pods().items()}
    zones = {node["metadata"]["name"]: node["metadata"]["labels"].get("topology.kubernetes.io/zone") for node in kind.get("nodes")}
    # A zone that has another worker.
    dead = next(worker for worker in at if list(zones.values()).count(zones[worker]) == 2)
    pod, name = at[dead], at[dead].removesuffix("-0")
    begin = time.monotonic()
    docker("kill", dead)
    try:

        def replaced():
            up = [node["name"] for node in rides.status().get("nodes", []) if node["state"] == "Up"]
            return len(up) == 3 and name not in up

        eventually(f"another node in the place of {name}, {rides.told()}", replaced, 300, every=0.5)
        say(f"replaced after {time.monotonic() - begin:.0f} s; {load.report()}")
        load.waits_for_acks(100)
    finally:
        docker("start", dead)
        kind.attach()
        workers_up(kind)
    eventually(f"what was left of {name} to go", lambda: pod not in rides.pods(), 180, every=0.5)
    assert f"data-{name}" in rides.volumes(), "its volume is kept for a person to judge"
    rides.settle(3)
    load.stop()
    load.verify()


def test_two_drains_at_once_take_one_node_after_the_other(kind, operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    workers = sorted(pod["spec"]["nodeName"] for pod in rides.pods().values())[:2]
    before, drains, away = rides.uids(), [], 0
    try:
        for worker in workers:
            command = [kind.kubectl_bin, "drain", worker, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s"]
            drains.append(subprocess.Popen(command, env=kind.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        end = time.monotonic() + 40
        while time.monotonic() < end:
            pods = rides.pods()
            ready = sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in pods.values())
            away = max(away, 3 - ready)
            load.go_on(0.5)
        assert away == 1, f"{away} pods were away at once"
    finally:
        for worker in workers:
            kind.kubectl("uncordon", worker)
        for drain in drains:
            drain.communicate(timeout=240)
    eventually("all to be back", lambda: sum(map(is_ready, rides.pods().values())) == 3, 240, every=0.5)
    rides.settle(3)
    say(f"{len(set(before.values()) - set(rides.uids().values()))} pods moved, failed: {failed_requests(load) or 'none'}")
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    operator.wait_up()
