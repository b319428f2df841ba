"""Acceptance test 5, as far as a person grows volumes: they grow while their nodes serve. Volumes of the driver in kind/csi-loop have a real size."""

import time

import pytest
from harness.wait import eventually
from kube.kind import HERE, run
from test_scale import finish, loaded


@pytest.fixture(scope="module")
def loop(kind):
    """A StorageClass whose volumes can grow."""
    run(HERE / "kind/csi-loop/install", kind.name, kind.kubeconfig, seconds=300)
    return "loop"


def capacity(rides):
    return {volume["status"].get("capacity", {}).get("storage") for volume in rides.volumes().values()}


def test_volumes_grow_while_their_nodes_serve(loop, operator, cluster, say):
    rides = cluster(storage={"size": "512Mi", "className": loop})
    load = loaded(rides)
    before = rides.uids()
    begin = time.monotonic()
    rides.apply(storage={"size": "768Mi", "className": loop})
    eventually(f"three volumes of 768Mi, {capacity(rides)}", lambda: capacity(rides) == {"768Mi"}, 180, every=1)
    say(f"grown after {time.monotonic() - begin:.0f} s")
    assert rides.uids() == before, "no pod was replaced"
    finish(load, say)


def test_a_class_that_can_not_grow_is_told(operator, cluster):
    rides = cluster(storage={"size": "1Gi"}).apply()
    rides.wait_ready()
    rides.apply(storage={"size": "2Gi"})
    eventually(f"a condition that says so, {rides.told()}", lambda: "data-rides-" in rides.condition("Degraded")[2], 60, every=0.5)
    assert rides.condition("Ready")[0] == "True"
