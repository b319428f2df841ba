"""Maintenance windows: a changed spec waits for one and says when it opens, a person's order does not wait, and one that is open lets it roll."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from harness.wait import eventually
from test_restart import is_ready
from test_scale import finish, loaded

#: How long it is watched that nothing is restarted.
WATCHED_SECONDS = 25


def window(opens_in, duration):
    """One that opens after so much time, each day, and when it next does, as the operator tells it."""
    opens = (datetime.now(UTC) + opens_in).replace(second=0, microsecond=0)
    return {"windows": [{"start": opens.strftime("%H:%M"), "duration": duration}]}, opens.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.long
def test_a_changed_spec_waits_for_its_window(operator, cluster, say):
    closed, opens = window(timedelta(hours=6), "1h")
    rides = cluster(maintenance=closed, resources={"requests": {"cpu": "20m", "memory": "64Mi"}})
    load = loaded(rides)
    rides.settle(3)
    before = rides.uids()

    rides.apply(resources={"requests": {"cpu": "25m", "memory": "64Mi"}})
    eventually("the wait to be told", lambda: rides.condition("Progressing")[1] == "OutsideWindow", 30, every=0.5)
    told = rides.condition("Progressing")
    assert told[0] == "True" and opens in told[2] and "rides-1, rides-2, rides-3" in told[2], told
    say(f"told: {told[2]}")
    load.go_on(WATCHED_SECONDS)
    assert rides.uids() == before, "a pod was replaced outside of the window"
    assert rides.condition("Progressing") == told, "the same words until it opens"

    # A person who orders a restart does not wait; it brings what the spec asks for by now.
    orders = json.dumps({"restart": {"2": 1}})
    rides.kind.kubectl("annotate", "kvcluster", rides.name, "-n", rides.namespace, f"ringkv.dev/orders={orders}")

    def is_restarted():
        pod = rides.pods().get("rides-2-0")
        return pod is not None and pod["metadata"]["uid"] != before["rides-2-0"] and is_ready(pod)

    eventually("the ordered restart", is_restarted, 90, every=0.5)
    eventually("two to be left", lambda: "the restart of rides-1, rides-3 waits" in rides.condition("Progressing")[2], 60, every=0.5)

    # Scaling does not wait either.
    rides.apply(nodes=4)
    eventually("the fourth node", lambda: len([n for n in rides.status()["nodes"] if n["state"] == "Up"]) == 4, 120, every=0.5)
    assert all(rides.uids()[name] == before[name] for name in ("rides-1-0", "rides-3-0"))

    begin = time.monotonic()
    rides.apply(maintenance=window(timedelta(minutes=-5), "2h")[0])
    eventually("the rest to roll", lambda: all(rides.uids().get(name) not in (None, before[name]) for name in before), 180, every=0.5)
    rides.settle(4)
    say(f"rolled in {time.monotonic() - begin:.0f} s of an open window")
    asked = {pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] for pod in rides.pods().values()}
    assert asked == {"25m"}
    finish(load, say)
