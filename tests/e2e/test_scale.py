"""Three nodes become five and three again under a load that is checked, without a failed request (issue of scaling, "Real processes")."""

import pytest

from harness.client import create_table
from harness.load import Load
from harness.wait import eventually

TABLE = "rides"
MOVE_SECONDS = 120


def settle(rides, nodes):
    """Waits until the cluster has so many nodes that are up, and nothing more to do."""

    def look():
        status, reason, message = rides.condition("Progressing")
        if reason == "ChangeNotSupported":
            pytest.skip(f"the operator does not scale yet: {message}")
        up = [node for node in rides.status().get("nodes", []) if node["state"] == "Up"]
        return len(up) == nodes and status == "False" and rides.condition("Ready")[0] == "True"

    eventually(f"{nodes} nodes", look, MOVE_SECONDS, every=0.5)


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
    failed = {what: load.counts[what] for what in ("unknown", "refused", "failed reads") if load.counts[what]}
    assert not failed, load.report()
