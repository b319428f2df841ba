"""Partitions split under a load that is checked, and nobody sees a request fail: neither writers nor readers of pages and streams."""

import json
import random

from harness.client import create_table, dynamodb_streams
from harness.load import Load
from harness.wait import eventually

TABLE = "rides"
SPLITS = 20


def failed_requests(load):
    return {what: load.counts[what] for what in ("unknown", "refused", "failed reads") if load.counts[what]}


def split(rides, table, key=None):
    """Splits at a key, or where a sample says; answers the partition and its right part."""
    words = ["split", table] + (["--at", json.dumps(key)] if key else [])

    def attempt():
        status, out, err = rides.run(*words)
        # The same partition may be at it still, or have no key to be cut at.
        return out.split() if status == 0 else None

    out = eventually(f"a split of {table} at {key}", attempt, 30, every=0.1)
    return int(out[1]), int(out[-1])


def scan(client, table, **options):
    items, start = [], {}
    while True:
        page = client.scan(TableName=table, ConsistentRead=True, **options, **start)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return items
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def test_twenty_splits_under_load_fail_no_request(cluster, say):
    rides = cluster()
    rides.start()
    client = rides.client()
    create_table(client, TABLE)
    load = Load(rides.urls(), TABLE, workers=4, think=0.01).start()
    load.waits_for_acks(100)
    # A partition can't be cut at its own border, so each key is used once.
    keys = sorted({register.name + end for register in load.registers for end in ("", "!", "~")})
    random.Random(7).shuffle(keys)
    made = set()
    for key in keys[:SPLITS]:
        parent, child = split(rides, TABLE, {"id": {"S": key}})
        assert parent != child
        made.add(child)
        load.waits_for_acks(5)
    load.waits_for_acks(200)
    load.stop()
    load.verify()
    say(f"{SPLITS} splits: {load.report()}")
    assert not failed_requests(load), load.report()
    assert load.longest_gap < 2, load.report()

    whole = {item["id"]["S"] for item in scan(client, TABLE)}
    parts = [{item["id"]["S"] for item in scan(client, TABLE, Segment=n, TotalSegments=5)} for n in range(5)]
    assert set().union(*parts) == whole and sum(map(len, parts)) == len(whole)
    assert len(scan(client, TABLE, Limit=1)) == len(whole)
    for name in rides.names:
        assert {item["id"]["S"] for item in scan(rides.client(name), TABLE)} == whole


def test_an_item_collection_is_cut_and_read_as_one(cluster):
    rides = cluster()
    rides.start()
    client = rides.client()
    create_table(client, TABLE, "at")
    for n in range(60):
        client.put_item(TableName=TABLE, Item={"id": {"S": "hot"}, "at": {"N": str(n)}, "v": {"S": "x" * 50}})
    children = [split(rides, TABLE, {"id": {"S": "hot"}, "at": {"N": str(n)}})[1] for n in (30, 10, 45)]
    assert len(set(children)) == 3
    question = {"KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "hot"}}}
    for name in rides.names:
        node = rides.client(name)
        for forward in (True, False):
            for limit in ({}, {"Limit": 7}):
                found, start = [], {}
                while True:
                    page = node.query(TableName=TABLE, ConsistentRead=True, ScanIndexForward=forward, **question, **limit, **start)
                    found += [int(item["at"]["N"]) for item in page["Items"]]
                    if "LastEvaluatedKey" not in page:
                        break
                    start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
                assert found == sorted(range(60), reverse=not forward)


def test_streams_name_the_parents_of_shards_and_lose_no_change(cluster):
    rides = cluster()
    rides.start()
    client, streams = rides.client(), dynamodb_streams(rides.urls()[0])
    create_table(client, TABLE)
    client.update_table(TableName=TABLE, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    eventually("a stream", lambda: client.describe_table(TableName=TABLE)["Table"]["TableStatus"] == "ACTIVE", 30)
    arn = client.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    wanted = []
    for n in range(120):
        if n in (40, 80):
            for key in ("k3", "k57", "k101"):
                split(rides, TABLE, {"id": {"S": key + "!" * (n // 40)}})
        client.put_item(TableName=TABLE, Item={"id": {"S": f"k{n % 30}"}, "v": {"N": str(n)}})
        wanted.append((f"k{n % 30}", n))

    def parents_are_there():
        shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        ids = {shard["ShardId"] for shard in shards}
        parents = [shard["ParentShardId"] for shard in shards if "ParentShardId" in shard]
        return shards if len(parents) >= 12 and set(parents) <= ids else None

    shards = eventually("two children for each of six closed shards", parents_are_there, 20, every=0.2)
    closed = {shard["ShardId"] for shard in shards if "EndingSequenceNumber" in shard["SequenceNumberRange"]}
    assert {shard["ParentShardId"] for shard in shards if "ParentShardId" in shard} == closed
    seen, ordered = [], {}
    done = set()
    while len(done) < len(shards):
        shard = next(s for s in shards if s["ShardId"] not in done and s.get("ParentShardId") in done | {None})
        iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        for _ in range(20):
            page = streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                key, value = record["dynamodb"]["Keys"]["id"]["S"], int(record["dynamodb"]["NewImage"]["v"]["N"])
                seen.append((key, value))
                assert ordered.get(key, -1) < value, "a child is read after its parent, and each key in order"
                ordered[key] = value
            iterator = page.get("NextShardIterator")
            if iterator is None or not page["Records"]:
                break
        done.add(shard["ShardId"])
    assert sorted(seen) == sorted(wanted)


def test_a_partition_that_grows_too_large_is_split_by_itself(cluster, say):
    rides = cluster()
    rides.write("spec:\n  nodes: 3\n  partitions:\n    maxBytes: 1Mi\n")
    rides.start()
    client = rides.client()
    create_table(client, TABLE)

    def partitions():
        return sum(node["partitions"] for node in rides.status().get("nodes", []))

    before = partitions()
    for n in range(320):
        client.put_item(TableName=TABLE, Item={"id": {"S": f"k{n}"}, "v": {"B": random.Random(n).randbytes(40_000)}})
    # Sizes are what files have: the engine writes them within a minute.
    eventually("more partitions", lambda: partitions() >= before + 3, 150, every=1)
    assert len(scan(client, TABLE, ProjectionExpression="id")) == 320
    say(f"{before} replicas of partitions became {partitions()}")


def test_nonsense_is_refused(cluster):
    rides = cluster()
    rides.start()
    create_table(rides.client(), TABLE)
    for words in (
        ["split", "other"],
        ["split", TABLE, "--at", "x"],
        ["split", TABLE, "--at", '{"id":{"N":"1"}}'],
        ["split", TABLE, "--partition", "999"],
        ["split", TABLE],
    ):
        status, _, err = rides.run(*words)
        assert status != 0 and err.strip(), words
