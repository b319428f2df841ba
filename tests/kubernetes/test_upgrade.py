"""Acceptance test 14: the data plane is upgraded, goes back before its soak time ends, and is refused to go back after it."""

import re
import time
import urllib.request

import pytest
from harness.client import create_table
from harness.wait import eventually
from kube.operator import next_image
from test_restart import is_ready
from test_scale import finish, loaded

ROLL_SECONDS = 240


def roll(rides, **spec):
    """Changes the image, and waits until all pods are of it, one after the other."""
    before = rides.uids()
    rides.apply(**spec)

    def rolled():
        pods = rides.pods()
        away = 3 - sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in pods.values())
        assert away <= 1, "two pods are away at once"
        others = len(pods) == 3 and all(pod["metadata"]["uid"] != before[name] for name, pod in pods.items())
        return others and away == 0 and rides.condition("Progressing")[1] in ("Upgrading", "UpToDate")

    eventually("three new pods", rolled, ROLL_SECONDS, every=0.2)


def counted(rides):
    """What nodes of the next version have met of what that version adds: commands, records, reports."""
    found = [0, 0, 0]
    for pod in rides.pods().values():
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9090/metrics", timeout=5) as answer:
            text = answer.read().decode()
        for n, what in enumerate(("commands", "records", "reports")):
            found[n] += int(re.search(rf"next_{what}_total (\d+)", text).group(1))
    return found


@pytest.mark.long
def test_an_upgrade_goes_back_while_it_soaks_and_not_afterwards(operator, cluster, say):
    rides = cluster(upgrade={"soak": "1h"}, repair={"after": "1h"})
    load = loaded(rides)

    begin = time.monotonic()
    roll(rides, image=next_image())
    say(f"rolled to the next version in {time.monotonic() - begin:.0f} s")
    eventually("the soak", lambda: rides.condition("Progressing")[1] == "Upgrading", 60, every=0.5)
    status = rides.status()
    assert (status["clusterVersion"], status["upgrade"]["version"]) == (1, 2), status
    create_table(rides.client(), "while-it-soaks")
    load.go_on(5)
    assert counted(rides) == [0, 0, 0]

    roll(rides, image=None)
    rides.settle(3)
    assert rides.status()["clusterVersion"] == 1
    load.waits_for_acks(100)

    roll(rides, image=next_image(), upgrade={"soak": "2s"})
    eventually("version 2", lambda: rides.status().get("clusterVersion") == 2, 60, every=0.5)
    create_table(rides.client(), "once-raised")
    met = eventually("a new command, record and report", lambda: all(found := counted(rides)) and found, 30, every=0.5)
    say(f"met after the raise: {met[0]} commands, {met[1]} records, {met[2]} reports of the next version")
    rides.settle(3)

    # Whoever tries to go back breaks one pod, which says why; the others go on.
    before = rides.uids()
    rides.apply(image=None)

    def refused():
        told = rides.condition("Degraded")
        return told[1] == "NodesDown" and "status 76" in told[2] and told[2]

    message = eventually("a node that refuses the volume", refused, 120, every=0.5)
    assert "raised to version 2" in message, message
    load.go_on(10)
    whole = [name for name, pod in rides.pods().items() if is_ready(pod) and pod["metadata"]["uid"] == before[name]]
    assert len(whole) == 2, f"only {whole} are left"
    begin = time.monotonic()
    rides.apply(image=next_image())
    eventually("all pods to be ready", lambda: sum(map(is_ready, rides.pods().values())) == 3, 120, every=0.5)
    say(f"mended in {time.monotonic() - begin:.0f} s")
    rides.settle(3)
    finish(load, say)
