"""A roll to a build of the next version, back to this one before its formats are used, and no way back afterwards.

`kv-node-next` (`scripts/next`) writes a field more in a record of the metadata, in the commands of their log and in the nodes' reports once
the cluster is raised, and counts where it meets them."""

import re
import signal
import urllib.request

from harness.binaries import binary, clean_environment, run
from harness.client import create_table
from harness.load import Load
from harness.process import is_alive
from harness.wait import eventually
from test_scale import TABLE, failed_requests

ROLL_SECONDS = 120


def spec(soak):
    return f"spec:\n  nodes: 3\n  upgrade:\n    soak: {soak}\n"


def roll(rides, program):
    """Has an operator that starts nodes by this program restart them all, one by one."""
    rides.kill_operator()
    rides.node_binary = program
    rides.start()
    before = rides.pids()
    status, _, err = rides.run("restart")
    assert status == 0, err

    def rolled():
        now = rides.pids()
        others = all(now.get(name) not in (None, pid) for name, pid in before.items())
        return others and rides.condition("Progressing")[1] in ("Upgrading", "UpToDate") and rides.condition("Ready")[0] == "True"

    eventually("three new processes", rolled, ROLL_SECONDS, every=0.2)


def counted(rides, name):
    """What a node of the next version has met of what that version adds: (commands, records, reports)."""
    address = rides.config(name)["listen"]["metrics"]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return tuple(int(re.search(rf"next_{what}_total (\d+)", text).group(1)) for what in ("commands", "records", "reports"))


def all_counted(rides):
    return [sum(one) for one in zip(*(counted(rides, name) for name in rides.names), strict=True)]


def test_a_version_goes_back_until_it_is_raised_and_never_afterwards(cluster, say):
    rides = cluster()
    rides.write(spec("1h"))
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)

    roll(rides, binary("kv-node-next"))
    rides.waits_for("Progressing", "True", "Upgrading")
    status = rides.status()
    assert (status["clusterVersion"], status["upgrade"]["version"]) == (1, 2), status
    # Its nodes change the metadata, report and write, and none of it is new yet.
    create_table(rides.client(), "while-it-soaks")
    load.waits_for_acks(100)
    assert all_counted(rides) == [0, 0, 0]

    roll(rides, None)
    rides.waits_for("Progressing", "False", "UpToDate")
    assert rides.status()["clusterVersion"] == 1 and "upgrade" not in rides.status()
    load.waits_for_acks(100)

    roll(rides, binary("kv-node-next"))
    rides.write(spec("2s"))
    eventually("version 2", lambda: rides.status().get("clusterVersion") == 2, 60, every=0.2)
    create_table(rides.client(), "once-raised")
    met = eventually("a new command, record and report", lambda: all(found := all_counted(rides)) and found, 30, every=0.5)
    say(f"met after the raise: {met[0]} commands, {met[1]} records, {met[2]} reports of the next version")
    load.waits_for_acks(100)
    rides.waits_for("Progressing", "False", "UpToDate")

    refused_afterwards(rides, load)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def refused_afterwards(rides, load):
    """The build of before does not start on a node's directory; the others go on, and the newer one brings the node back."""
    rides.kill_operator()
    pid = rides.send("rides-2", signal.SIGTERM)
    eventually("the node ends", lambda: not is_alive(pid), 60)
    identity = rides.node_dir("rides-2") / "data" / "identity"
    before = identity.read_bytes()
    status, _, err = run(binary("kv-node"), "run", "--config", rides.node_dir("rides-2") / "node.json", env=clean_environment(**rides.env))
    said = [line for line in err.splitlines() if line.startswith("kv-node: ")]
    assert status == 76 and len(said) == 1, (status, err)
    assert "was raised to version 2" in said[0] and "run the newer build again" in said[0], said
    assert identity.read_bytes() == before, "it touched the directory"
    load.waits_for_acks(100)
    rides.start()
    eventually("rides-2 is back", lambda: rides.is_running("rides-2"), 60)
    rides.ready()
    # The record is read from the disk.
    eventually("its record", lambda: counted(rides, "rides-2")[1] > 0, 30, every=0.5)
    load.waits_for_acks(100)


def test_an_operator_that_rolls_a_raised_cluster_back_breaks_one_node_at_most(cluster):
    rides = cluster(node_binary=binary("kv-node-next"))
    rides.write(spec("1s"))
    rides.start()
    create_table(rides.client(), TABLE)
    eventually("version 2", lambda: rides.status().get("clusterVersion") == 2, 60, every=0.2)
    rides.waits_for("Progressing", "False", "UpToDate")
    rides.kill_operator()
    rides.node_binary = None
    rides.start()
    before = rides.pids()
    status, _, err = rides.run("restart")
    assert status == 0, err
    rides.operator.hears("exit status: 76", ROLL_SECONDS)
    message = rides.waits_for("Degraded", "True", "NodesDown")
    assert "exit status: 76" in message and "raised to version 2" in message, message
    load = Load(rides.urls(), TABLE, workers=2, think=0.01).start()
    load.waits_for_acks(100)
    whole = [name for name, pid in before.items() if rides.pid(name) == pid and rides.is_running(name)]
    assert len(whole) == 2, whole
    rides.kill_operator()
    rides.node_binary = binary("kv-node-next")
    rides.start()
    rides.waits_for("Progressing", "False", "UpToDate", seconds=ROLL_SECONDS)
    rides.ready()
    load.stop()
    load.verify()
    assert all(rides.is_running(name) for name in rides.names)
