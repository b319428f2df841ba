"""How the programs end: one clear sentence that says what to do, and a documented exit status (node/DESIGN.md, operator/DESIGN.md).

What `kv-node dev` says of ports, permissions and other people's directories is in test_dev_process.py, mistakes in a KvCluster in
test_cluster.py, corruption in test_disks.py.
"""

import json
import os
import re
import shutil
import signal
import socket
import stat
import tempfile
import uuid
from pathlib import Path

import pytest

from harness.binaries import REPOSITORY, binary, run
from harness.client import create_table
from harness.dev import Dev
from harness.disk import Disk
from harness.process import STARTED, is_alive
from harness.wait import eventually

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
DISK_MEBIBYTES = 800


def sentence(err, program):
    lines = [line for line in err.splitlines() if line.startswith(f"{program}: ")]
    assert len(lines) == 1, f"one sentence, not: {err}"
    return lines[0]


def node_ends(*arguments, prefix=()):
    """Runs `kv-node …`, which must end by itself; answers (status, its sentence)."""
    status, _, err = run(*prefix, binary("kv-node"), *arguments, seconds=30)
    return status, sentence(err, "kv-node")


def operator_ends(*arguments, prefix=(), program=None):
    status, _, err = run(*prefix, program or binary("kv-operator"), *arguments, seconds=30)
    return status, sentence(err, "kv-operator")


@pytest.fixture
def disk(tmp_path, root):
    disk = Disk(tmp_path / "disk", tmp_path / "image", DISK_MEBIBYTES)
    yield disk
    for thing in list(STARTED):
        thing.close()
    disk.close()


def test_every_status_of_a_node_is_documented():
    status, out, _ = run(binary("kv-node"), "--help")
    said = {int(number) for number in re.findall(r"(?<![\w.])(\d+) [a-z]", out.split("Exit statuses:")[1])}
    design = (REPOSITORY / "node" / "DESIGN.md").read_text()
    table = {int(number) for number in re.findall(r"^\| (\d+) \|", design.split("## Exit statuses")[1].split("\n## ")[0], re.M)}
    assert status == 0 and said == table, (said, table)


# kv-node


def test_a_node_starts_on_a_full_disk_and_serves_reads(tmp_path, disk):
    data = disk.place / "data"
    node = Dev(tmp_path, data_dir=data)
    create_table(node.client(), "table")
    node.client().put_item(TableName="table", Item={"id": {"S": "1"}})
    node.kill()
    disk.fill(0)
    node = Dev(tmp_path, data_dir=data)
    assert "Item" in node.client().get_item(TableName="table", Key={"id": {"S": "1"}}, ConsistentRead=True)
    assert node.process.terminate() in (0, 77)


def test_a_new_node_on_a_full_disk(disk):
    disk.fill(0)
    status, said = node_ends("dev", "--listen", "127.0.0.1:0", "--data-dir", disk.place / "data")
    assert status == 77 and "no space left" in said.lower() and "Free space" in said, (status, said)


def node_config(tmp_path, **changes):
    address = "127.0.0.1:0"
    config = {
        "clusterId": str(uuid.uuid4()),
        "nodeId": 1,
        "name": "other-1",
        "zone": "a",
        "host": "localhost",
        "dataDir": str(tmp_path / "data"),
        "listen": {"dynamo": address, "kv": address, "peer": address, "metrics": address},
        "advertise": {"dynamo": address, "kv": address, "peer": address},
        "tls": {"ca": "ca.crt", "cert": "node.crt", "key": "node.key"},
        "seeds": [{"id": 1, "address": address}],
    }
    path = tmp_path / "node.json"
    path.write_text(json.dumps(config | changes))
    return path


def test_a_directory_of_another_node(tmp_path):
    Dev(tmp_path, data_dir=tmp_path / "data").stop()
    status, said = node_ends("run", "--config", node_config(tmp_path))
    cluster = re.search(r"belongs to cluster ([0-9a-f-]{36})", said).group(1)
    status, said = node_ends("run", "--config", node_config(tmp_path, clusterId=cluster, nodeId=2))
    assert status == 76 and "belongs to node 1, not to node 2" in said, (status, said)


def test_a_wrong_configuration_of_a_node(tmp_path):
    status, said = node_ends("run", "--config", tmp_path / "none.json")
    assert status == 78 and "none.json" in said, (status, said)
    (tmp_path / "bad.json").write_text("{")
    status, said = node_ends("run", "--config", tmp_path / "bad.json")
    assert status == 78 and "bad.json" in said, (status, said)
    status, said = node_ends("run", "--config", node_config(tmp_path))
    assert status == 78 and "ca.crt" in said, "certificates that are not there"
    status, said = node_ends("dev", "--in-memory", "--listen", "0.0.0.0:0")
    assert status == 78 and "--allow-unauthenticated" in said, (status, said)


def test_a_taken_port_of_metrics():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, said = node_ends("dev", "--in-memory", "--listen", "127.0.0.1:0", "--metrics-listen", address)
    assert status == 68 and address in said, (status, said)


# kv-operator


def test_signals_end_the_operator_with_its_nodes(cluster):
    rides = cluster(nodes=1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        rides.start()
        rides.operator.send(number)
        assert rides.operator.wait(60) == 0, rides.operator.said()
        assert not any(rides.is_running(name) for name in rides.names)
        rides.operator.close()
        rides.operator = None


def test_an_operator_without_permission(root):
    # Another user must be able to run the programs, wherever they were built.
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        os.chmod(place, 0o755)
        programs = [shutil.copy(binary(name), place) for name in ("kv-operator", "kv-node")]
        file = place / "cluster.yaml"
        file.write_text("apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: rides\nspec:\n  nodes: 1\n")
        os.chmod(file, 0o644)
        (place / "dir").mkdir(mode=0o755)
        status, said = operator_ends("local", "-f", file, "--dir", place / "dir", prefix=NOBODY, program=programs[0])
        assert status == 77 and str(place / "dir") in said and "--dir" in said, (status, said)
        os.chmod(file, 0o600)
        status, said = operator_ends("local", "-f", file, "--dir", place / "dir", prefix=NOBODY, program=programs[0])
        assert status == 77 and str(file) in said, (status, said)


def test_an_operator_on_a_full_disk(cluster, disk):
    rides = cluster(nodes=1)
    disk.fill(0)
    status, _, err = run(binary("kv-operator"), "local", "-f", rides.file, "--dir", disk.place / "dir", "--any-ports", seconds=30)
    said = sentence(err, "kv-operator")
    assert status == 74 and "free some space" in said, (status, said)


def test_an_operator_whose_directory_is_a_file_or_newer(cluster):
    rides = cluster(nodes=1)
    rides.dir.write_text("")
    status, said = operator_ends(*rides.command()[1:])
    assert status != 0 and str(rides.dir) in said and "--dir" in said, (status, said)
    rides.dir.unlink()
    rides.start()
    rides.stop()
    found = [path for path in rides.dir.iterdir() if path.is_file() and path.suffix == ".json" and "format" in path.read_text().lower()]
    assert found, "no file of the directory says its format"
    for path in found:
        content = path.read_text()
        path.write_text(re.sub(r'("format(?:Version)?"\s*:\s*)\d+', r"\g<1>99", content))
        status, said = operator_ends(*rides.command()[1:])
        assert status == 78 and "newer kv-operator" in said, (path, status, said)
        path.write_text(content)


def test_a_node_that_ends_at_once_is_started_again_with_back_off(cluster, tmp_path):
    program = tmp_path / "kv-node"
    program.write_text("#!/bin/sh\necho 'kv-node: a test: nothing works.' >&2\nexit 70\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    rides = cluster(nodes=1, node_binary=program)
    rides.start(wait=False)
    for span in ("100 ms", "200 ms", "400 ms", "800 ms"):
        rides.operator.hears(f"rides-1 ended: exit status: 70, its last words: kv-node: a test: nothing works.; started again in {span}", 60)
    assert rides.condition("Ready")[0] != "True"


def test_a_pid_that_is_used_again_is_no_node(cluster):
    rides = cluster(nodes=1)
    rides.start()
    rides.kill_operator()
    before = rides.kill_node("rides-1")
    place = rides.node_dir("rides-1") / "pid"
    noted = json.loads(place.read_text())
    # This test's own process: alive, and with every right to stay so.
    place.write_text(json.dumps(noted | {"pid": os.getpid()}))
    rides.start()
    assert rides.pid("rides-1") not in (before, os.getpid()) and rides.is_running("rides-1")
    assert "adopted" not in rides.operator.said()
    rides.stop()
    assert is_alive(os.getpid())


def test_a_port_that_another_program_took_while_the_node_was_down(cluster):
    rides = cluster(nodes=1)
    rides.start()
    rides.stop()
    host, port = rides.config("rides-1")["listen"]["dynamo"].rsplit(":", 1)
    with socket.create_server((host, int(port))):
        rides.start(wait=False)
        rides.operator.hears(f"port {port} of rides-1 is taken by another program", 30)
    rides.ready(90)


def test_the_second_signal_leaves_without_waiting(cluster):
    rides = cluster(nodes=1)
    rides.start()
    # A node that can't end makes the first signal wait.
    rides.send("rides-1", signal.SIGSTOP)
    rides.operator.send(signal.SIGINT)
    rides.operator.hears("once more to leave at once", 30)
    rides.operator.send(signal.SIGINT)
    try:
        assert rides.operator.wait(30) == 130
        assert "rides-1 may still run" in rides.operator.said()
    finally:
        rides.send("rides-1", signal.SIGCONT)
    pid = rides.pid("rides-1")
    eventually("the node ends as it was told", lambda: not is_alive(pid), 60)


def test_a_file_that_is_gone_or_unreadable_changes_nothing(cluster):
    rides = cluster(nodes=1)
    rides.start()
    aside = rides.file.with_suffix(".aside")
    rides.file.rename(aside)
    rides.operator.hears("is gone; the cluster stays as it is", 30)
    aside.rename(rides.file)
    rides.operator.hears("is right again", 30)
    rides.file.write_bytes(b"\xff\xfe: [")
    eventually("it is refused", lambda: rides.condition("Progressing")[1] == "InvalidSpec", 30)
    assert rides.is_running("rides-1")
    assert rides.condition("Ready")[0] == "True"
