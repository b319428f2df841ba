"""What disks do: they fill up, they rot, and the power goes."""

import signal
import time

import pytest

from harness.client import Bare, Refused, create_table
from harness.dev import Dev
from harness.disk import Disk
from harness.load import FAILURES, Load
from harness.process import is_alive
from harness.shim import node_without_sync
from harness.wait import eventually

TABLE = "rides"
MEBIBYTE = 1 << 20
#: Room for the reserve of 256 MiB, the ballast of 64 MiB and more than these tests write.
DISK_MEBIBYTES = 800
CORRUPT = 65


def put(client, key, size=100):
    return client.put_item(TableName=TABLE, Item={"id": {"S": key}, "pad": {"S": "x" * size}})


def refusal(call):
    """The error code and message that a call of boto3 is refused with; None if it is not."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - boto3 makes its exceptions' classes as it goes
        answer = getattr(error, "response", None)
        if answer is None:
            raise
        return answer["Error"]["Code"], answer["Error"]["Message"]
    return None


# A full disk


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(tmp_path, root, say):
    disk = Disk(tmp_path / "disk", tmp_path / "image", DISK_MEBIBYTES)
    try:
        node = Dev(tmp_path, data_dir=disk.place / "data")
        client = node.client()
        create_table(client, TABLE)
        for n in range(20):
            put(client, f"k{n}")
        for leave in (200 * MEBIBYTE, 0):
            filler = disk.fill(leave)
            code, message = eventually("writes are refused", lambda: refusal(lambda: put(client, "more")), 30, every=0.2)
            assert code == "ThrottlingException", (code, message)
            for n in range(20):
                assert "Item" in client.get_item(TableName=TABLE, Key={"id": {"S": f"k{n}"}}, ConsistentRead=True)
            assert client.scan(TableName=TABLE, ConsistentRead=True)["Count"] >= 20
            assert is_alive(node.process.pid)
            filler.unlink()
            eventually("writes are taken again", lambda: refusal(lambda: put(client, "after")) is None, 30, every=0.2)
        assert node.stop() == 0
        client = Dev(tmp_path, data_dir=disk.place / "data").client()
        assert client.scan(TableName=TABLE, ConsistentRead=True)["Count"] >= 21
    finally:
        stop_all(disk)


def stop_all(disk):
    from harness.process import STARTED

    for thing in list(STARTED):
        thing.close()
    disk.close()


def test_a_node_with_a_full_disk_does_not_end_and_the_others_go_on(cluster, root, say):
    rides = cluster()
    rides.give_disks(DISK_MEBIBYTES)
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE, payload_bytes=4000, think=0.005).start()
    load.waits_for_acks(200)
    sick = rides.most_leading()
    disk, pids = rides.disks[sick], rides.pids()
    filler = disk.fill(0)
    load.go_on(5)
    # It hands over what it leads, and takes no entries where it follows.
    load.waits_for_acks(300, 90)
    lost = load.lost(rides.url(sick))
    assert not lost, lost[:5]
    free = disk.free_bytes()
    load.waits_for_acks(100, 90)
    assert rides.pids() == pids and rides.is_running(sick), "the node ended"
    filler.unlink()
    load.waits_for_acks(100, 90)
    eventually("no write is refused any more", lambda: takes_writes(rides.url(sick), load), 90, every=0.5)
    rides.ready(90)
    load.stop()
    load.verify()
    assert rides.pids() == pids, "none was ever restarted"
    say(f"full disk of a leader ({free // MEBIBYTE} MiB free at its end): {load.report()}")


def takes_writes(url, load):
    """Whether writes to all partitions are taken through a node."""
    client = Bare(url)
    try:
        for key in load.registers:
            client.put(TABLE, f"probe-{key.name}", 1)
    except Refused:
        return False
    finally:
        client.close()
    return True


# Rot


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def with_a_stopped_node(cluster):
    """A cluster with data, whose second node was stopped in order while nobody restarts it."""
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    for n in range(300):
        put(rides.client(rides.names[n % 3]), f"k{n}", size=2000)
    rides.kill_operator()
    pid = rides.send("rides-2", signal.SIGTERM)
    eventually("the node ends", lambda: not is_alive(pid), 60)
    return rides


def the_cluster_goes_on_without(rides, sick):
    """Every item is there and can be written, through each of the others."""
    for name in rides.names:
        if name == sick:
            continue
        client = rides.client(name, retries=5)
        for n in range(300):
            item = client.get_item(TableName=TABLE, Key={"id": {"S": f"k{n}"}}, ConsistentRead=True)["Item"]
            assert item["pad"]["S"] == "x" * 2000
        put(client, f"later-{name}")


def test_a_flipped_byte_in_the_engine_retires_the_node(cluster):
    rides = with_a_stopped_node(cluster)
    files = sorted((rides.node_dir("rides-2") / "data" / "engine").glob("*.sst"), key=lambda path: path.stat().st_size)
    assert files, "nothing was flushed"
    flip(files[-1], files[-1].stat().st_size * 3 // 10)
    rides.start(wait=False)
    eventually("it runs", lambda: rides.is_running("rides-2"), 30)

    def reads_until_it_ends():
        # Eventual reads come from the node's own disk. Whatever it answers must be right.
        client = Bare(rides.url("rides-2"), 5)
        for n in range(300):
            try:
                answer = client.call("GetItem", TableName=TABLE, Key={"id": {"S": f"k{n}"}})
            except FAILURES:
                continue
            assert answer["Item"]["pad"]["S"] == "x" * 2000, "a corrupt block was served"
        client.close()
        return "exit status: 65" in rides.operator.said()

    eventually("it ends with status 65", reads_until_it_ends, 60)
    said = rides.operator.said()
    assert "rides-2 ended: exit status: 65" in said and "corrupt data in engine" in said and "Replace the node" in said, said
    # It stays out, also after a restart: the identity is retired.
    assert (rides.node_dir("rides-2") / "data" / "retired").exists()
    rides.operator.hears("is retired", 60)
    the_cluster_goes_on_without(rides, "rides-2")
    for _ in range(15):
        # Also while it is being started once more, and ends once more.
        status, reason, message = rides.condition("Degraded")
        assert (status, reason) == ("True", "NodesDown"), (status, reason, message)
        time.sleep(0.1)


def test_a_flipped_byte_in_the_log_retires_the_node(cluster):
    rides = with_a_stopped_node(cluster)
    files = sorted((rides.node_dir("rides-2") / "data" / "log").glob("*.raftlog"))
    content = files[-1].read_bytes().rstrip(b"\0")
    assert len(content) > 100_000, "the log holds what was written"
    flip(files[-1], len(content) // 2)
    rides.start(wait=False)
    rides.operator.hears("rides-2 ended: exit status: 65", 60)
    said = rides.operator.said()
    assert "corrupt data in" in said and ".raftlog" in said and "Replace the node" in said, said
    the_cluster_goes_on_without(rides, "rides-2")


# The power goes


@pytest.mark.parametrize("rounds", [3])
def test_a_power_cut_of_all_nodes_loses_nothing(cluster, root, say, rounds):
    rides = cluster()
    rides.give_disks(DISK_MEBIBYTES)
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE)
    for _ in range(rounds):
        load.start()
        load.waits_for_acks(300)
        rides.cut_power()
        load.stop()
        rides.start()
        load.verify()
    load.start()
    load.waits_for_acks(100)
    load.stop()
    load.verify()
    say(f"{rounds} power cuts: {load.report()}")


def test_without_fsync_a_power_cut_loses_acknowledged_writes(cluster, root, say, tmp_path):
    """The test above can fail: nodes whose syncs do nothing are caught by it."""
    rides = cluster(node_binary=node_without_sync(tmp_path))
    rides.give_disks(DISK_MEBIBYTES)
    rides.start()
    create_table(rides.client(), TABLE)
    load = Load(rides.urls(), TABLE).start()
    load.waits_for_acks(50)
    # All so far is safe, so the nodes themselves come back; what follows is at the mercy of the page cache.
    for disk in rides.disks.values():
        disk.sync()
    before = load.counts["acked"]
    load.waits_for_acks(300)
    rides.cut_power()
    load.stop()
    acked = load.counts["acked"] - before
    began = time.monotonic()
    rides.start(wait=False)
    try:
        rides.ready(20)
    except AssertionError:
        said = rides.operator.said()
        assert "exit status: 65" in said, said
        say(f"without fsync nodes don't come back after a power cut ({acked} writes acknowledged)")
        return
    lost = load.lost()
    say(f"without fsync {len(lost)} of {len(load.keys)} keys lost acknowledged writes ({acked} acknowledged, Ready after {time.monotonic() - began:.1f} s)")
    assert lost, "nothing was lost although nothing was synced: the power cut does not cut"
