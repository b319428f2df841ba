"""The CA is turned and certificates are renewed while everything serves; what does not fit is refused (DESIGN §9)."""

import shutil
import urllib.request

import pytest

from harness.certificates import accepts, fingerprints, shown
from harness.client import create_table
from harness.load import Load
from harness.wait import eventually

TABLE = "rides"
#: Nodes look at their files every five seconds, and each of three steps waits for all of them.
TURN_SECONDS = 120


def failed_requests(load):
    """What a client saw fail, of requests that only meet planned changes."""
    return {what: load.counts[what] for what in ("unknown", "refused", "failed reads") if load.counts[what]}


def peer(rides, name):
    return rides.config(name)["listen"]["peer"]


def all_shown(rides):
    return {name: shown(peer(rides, name)) for name in rides.names}


def trusted(rides):
    return fingerprints((rides.dir / "tls/ca.crt").read_text())


def loaded(rides):
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    return load


def finish(load, say):
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(load.report())
    assert not failed_requests(load), load.report()


def is_turned(rides, before):
    """Whether the one CA of before is gone, and every node has a certificate of another."""
    now = trusted(rides)
    return len(now) == 1 and now != before and rides.condition("Progressing")[0] == "False" and rides.condition("Ready")[0] == "True"


def keep_operators(rides, folder):
    """Copies of the operator's certificate and key of now."""
    folder.mkdir()
    for name in ("operator.crt", "operator.key"):
        shutil.copy(rides.dir / "tls" / name, folder / name)
    return folder / "operator.crt", folder / "operator.key"


def failures(rides, name):
    """How often a node could not use changed certificates."""
    with urllib.request.urlopen(f"http://{rides.config(name)['listen']['metrics']}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if "certificate_reload_failures_total" in line and not line.startswith("#"))


def test_a_ca_is_turned_by_hand_without_a_restart_or_a_failed_request(cluster, tmp_path, say):
    rides = cluster()
    load = loaded(rides)
    pids, before, first = rides.pids(), all_shown(rides), trusted(rides)
    old = keep_operators(rides, tmp_path / "old")
    assert all(accepts(peer(rides, name), *old) for name in rides.names)
    seen = set()

    def turned():
        seen.add(rides.condition("Progressing")[1])
        return is_turned(rides, first)

    rides.write('spec:\n  nodes: 3\n  tls:\n    rotatedAt: "first"\n')
    eventually("another CA", turned, TURN_SECONDS, every=0.3)
    assert "RotatingCertificates" in seen, seen
    after = all_shown(rides)
    assert all(after[name] != before[name] for name in rides.names), (before, after)
    assert rides.pids() == pids, "nobody was restarted"
    eventually("the old CA is good for nothing", lambda: not any(accepts(peer(rides, name), *old) for name in rides.names), 20, every=0.5)
    now = keep_operators(rides, tmp_path / "now")
    assert all(accepts(peer(rides, name), *now) for name in rides.names)
    finish(load, say)

    # What was asked for once is done once, also by another operator.
    rides.kill_operator()
    rides.start()
    eventually("nothing more to do", lambda: rides.condition("Progressing")[0] == "False", 60, every=0.3)
    assert all_shown(rides) == after


def test_a_rotation_outlives_operators_that_die(cluster, say):
    rides = cluster()
    load = loaded(rides)
    pids, first = rides.pids(), trusted(rides)
    rides.write('spec:\n  nodes: 3\n  tls:\n    rotatedAt: "first"\n')
    rides.kill_operator()
    for _ in range(6):
        rides.start(wait=False)
        load.go_on(3)
        rides.kill_operator()
    rides.start()
    eventually("another CA", lambda: is_turned(rides, first), TURN_SECONDS, every=0.3)
    assert rides.pids() == pids
    finish(load, say)


def test_a_node_that_is_down_holds_a_rotation_up_until_it_is_back(cluster):
    rides = cluster()
    rides.start()
    first = trusted(rides)
    rides.kill_operator()
    rides.kill_node("rides-2")
    # Without its disk it is not started: it would have forgotten its votes.
    data = rides.node_dir("rides-2") / "data"
    aside = rides.root / "aside"
    data.rename(aside)
    rides.write('spec:\n  nodes: 3\n  tls:\n    rotatedAt: "first"\n')
    rides.start(wait=False)

    def waits():
        return "rides-2" in ((rides.status().get("plan") or {}).get("waitingFor") or "")

    eventually("the rotation waits for rides-2", waits, 60, every=0.3)
    assert len(trusted(rides)) == 2, "the next CA is trusted besides, and no more"
    assert trusted(rides)[0] == first[0]
    # The disk comes back, and with it the node.
    shutil.rmtree(data, ignore_errors=True)
    aside.rename(data)
    eventually("another CA", lambda: is_turned(rides, first), TURN_SECONDS, every=0.3)


def test_certificates_are_renewed_by_age(cluster, say):
    rides = cluster()
    load = loaded(rides)
    pids, before, first = rides.pids(), all_shown(rides), trusted(rides)
    rides.write("spec:\n  nodes: 3\n  tls:\n    certificateLife: 90s\n")
    # Those of before last longer than is wanted now; those that come are renewed a minute later.
    for _ in range(2):
        eventually("certificates of everybody", lambda: not set(all_shown(rides).values()) & set(before.values()), 120, every=1)
        before = all_shown(rides)
    assert trusted(rides) == first, "the CA is as good as it was"
    assert rides.pids() == pids
    finish(load, say)


@pytest.mark.parametrize("file", ["node.crt", "node.key"])
def test_a_broken_file_is_refused_and_the_node_goes_on(cluster, file, say):
    rides = cluster()
    load = loaded(rides)
    pids, before = rides.pids(), all_shown(rides)
    folder = rides.node_dir("rides-2")
    good = (folder / file).read_bytes()
    if file == "node.crt":
        (folder / file).write_text("garbage")
    else:
        # Whole, and another's: it does not fit the certificate.
        shutil.copy(rides.node_dir("rides-1") / file, folder / file)
    eventually("the node says so", lambda: failures(rides, "rides-2") >= 1, 30, every=0.5)
    load.waits_for_acks(200)
    assert all_shown(rides) == before and rides.pids() == pids
    (folder / file).write_bytes(good)
    finish(load, say)
