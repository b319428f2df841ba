"""In calm the operator writes nothing but its own lease, and takes next to nothing."""

import re
import subprocess
import threading
import urllib.request

from harness.wait import eventually

CALM_SECONDS = 45
CPU_SHARE_MAX = 0.02


def counters(operator):
    """Counters of the leader: status writes, and requests to the API server by verb."""
    leader = operator.leader()
    pod = next(pod for pod in operator.pods() if pod["metadata"]["name"] == leader)
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}:9090/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = {"status": int(re.search(r"status_writes_total (\d+)", text).group(1))}
    for verb, number in re.findall(r'api_calls_total\{verb="(\w+)"[^}]*\} (\d+)', text):
        found[verb] = found.get(verb, 0) + int(number)
    return pod, found


def usage(pod):
    """(CPU seconds so far, resident KiB) of the operator's process."""
    command = ["docker", "exec", pod["spec"]["nodeName"], "ps", "-o", "cputimes=,rss=", "-C", "kv-operator"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(told[0]), int(told[1])


def test_a_cluster_in_calm_is_not_written_to(operator, cluster, say):
    rides = cluster().apply()
    rides.wait_ready()
    rides.settle(3)
    calm = threading.Event()

    def is_calm():
        before = counters(operator)[1]
        calm.wait(12)
        return counters(operator)[1]["status"] == before["status"]

    eventually("nothing more to say", is_calm, 120)
    pod, before = counters(operator)
    cpu, _ = usage(pod)
    version = rides.get()["metadata"]["resourceVersion"]
    calm.wait(CALM_SECONDS)
    pod, after = counters(operator)
    used, rss = usage(pod)
    written = {verb: after[verb] - before.get(verb, 0) for verb in after if verb != "get" and after[verb] != before.get(verb, 0)}
    say(f"{after.get('get', 0) - before.get('get', 0)} reads in {CALM_SECONDS} s; {rss // 1024} MiB, {(used - cpu) / CALM_SECONDS:.3f} of a core")
    assert not written, written
    assert rides.get()["metadata"]["resourceVersion"] == version
    assert (used - cpu) / CALM_SECONDS <= CPU_SHARE_MAX + 1 / CALM_SECONDS
