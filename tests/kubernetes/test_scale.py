"""Acceptance tests 2 and 11: three nodes become five and three again under a checked load, also while the operator is killed again and again."""

import threading

from harness.client import create_table
from harness.load import Load
from harness.wait import eventually

TABLE = "rides"
ZONES = ["zone-a", "zone-b", "zone-c"]


def failed_requests(load):
    """What a client saw fail, of requests that only meet planned changes."""
    return {what: load.counts[what] for what in ("unknown", "refused", "failed reads") if load.counts[what]}


def loaded(rides):
    rides.apply()
    rides.wait_ready()
    create_table(rides.client(), TABLE)
    load = Load([rides.url()], TABLE, workers=4, think=0.02).start()
    load.waits_for_acks(100)
    return load


def finish(load, say):
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def test_three_nodes_become_five_and_three_again_without_a_failed_request(operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    for nodes in (5, 3):
        rides.scale(nodes)
        rides.settle(nodes)
    assert sorted(rides.pods()) == ["rides-1-0", "rides-2-0", "rides-3-0"], "the youngest go"
    finish(load, say)


def test_a_growth_that_is_called_off_leaves_three_nodes_and_no_failed_request(operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    rides.scale(5)
    eventually("a fourth pod", lambda: len(rides.pods()) > 3, 60, every=0.2)
    rides.scale(3)
    rides.settle(3)
    finish(load, say)


def test_an_operator_that_is_killed_every_few_seconds_scales_all_the_same(operator, cluster, say):
    rides = cluster()
    load = loaded(rides)
    ended, kills = threading.Event(), 0

    def kill():
        # As soon as one leads it has a few seconds to live.
        nonlocal kills
        killed = None
        while not ended.wait(2):
            leader = operator.leader()
            if leader not in (None, killed) and not ended.wait(3) and operator.kill(leader):
                killed, kills = leader, kills + 1

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    try:
        for nodes in (5, 3):
            rides.scale(nodes)
            rides.settle(nodes, 400)
    finally:
        ended.set()
        killer.join()
    assert kills >= 2, f"only {kills} were killed"
    say(f"{kills} operators killed while they led")
    finish(load, say)
    operator.wait_up()
