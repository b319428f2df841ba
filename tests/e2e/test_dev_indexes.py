"""Secondary indexes, streams and expiry of `kv-node dev` as boto3 sees them."""

import time

import pytest
from botocore.exceptions import ClientError

from harness.client import dynamodb, dynamodb_streams
from harness.wait import eventually

ACTIVE_SECONDS = 20


def until(look, seconds):
    eventually("what the test wants to see", look, seconds)


def keys(hash_key, range_key=None):
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


def index(name, hash_key, range_key=None, projection="ALL", more=()):
    kept = {"ProjectionType": projection} | ({"NonKeyAttributes": list(more)} if more else {})
    return {"IndexName": name, "KeySchema": keys(hash_key, range_key), "Projection": kept}


def make(client, name, attributes, hash_key, range_key=None, **options):
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in attributes],
        KeySchema=keys(hash_key, range_key),
        BillingMode="PAY_PER_REQUEST",
        **options,
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": ACTIVE_SECONDS})


def strings(**values):
    return {name: {"S": value} for name, value in values.items()}


def query(client, table, name, key, value, **options):
    return client.query(
        TableName=table,
        IndexName=name,
        KeyConditionExpression=f"{key} = :v",
        ExpressionAttributeValues={":v": {"S": value}},
        **options,
    )


def found(client, table, name, key, value, column="a"):
    return sorted(item[column]["S"] for item in query(client, table, name, key, value)["Items"])


@pytest.fixture
def client(dev):
    return dynamodb(dev().url)


def test_local_indexes_are_read_strongly(client):
    make(client, "locals", "abc", "a", "b", LocalSecondaryIndexes=[index("by_c", "a", "c", "KEYS_ONLY")])
    for b, c in [("1", "z"), ("2", "y"), ("3", "x")]:
        client.put_item(TableName="locals", Item=strings(a="k", b=b, c=c, d="more"))
    read = query(client, "locals", "by_c", "a", "k", ConsistentRead=True)
    assert [item["b"]["S"] for item in read["Items"]] == ["3", "2", "1"]
    assert "d" not in read["Items"][0]
    client.update_item(
        TableName="locals",
        Key=strings(a="k", b="1"),
        UpdateExpression="SET c = :c",
        ExpressionAttributeValues={":c": {"S": "a"}},
    )
    client.delete_item(TableName="locals", Key=strings(a="k", b="2"))
    read = query(client, "locals", "by_c", "a", "k", ConsistentRead=True, Select="ALL_ATTRIBUTES")
    assert [(item["b"]["S"], item["d"]["S"]) for item in read["Items"]] == [("1", "more"), ("3", "more")]
    with pytest.raises(ClientError, match="secondary index key to unsupported type"):
        client.update_item(
            TableName="locals",
            Key=strings(a="k", b="1"),
            UpdateExpression="SET c = :c",
            ExpressionAttributeValues={":c": {"N": "1"}},
        )


def test_global_indexes_follow_their_table(client):
    make(client, "globals", "ac", "a", GlobalSecondaryIndexes=[index("of_c", "c", None, "INCLUDE", ["d"])])
    for a in "123":
        client.put_item(TableName="globals", Item=strings(a=a, c="x", d="kept", e="left"))
    until(lambda: found(client, "globals", "of_c", "c", "x") == ["1", "2", "3"], ACTIVE_SECONDS)
    assert set(query(client, "globals", "of_c", "c", "x")["Items"][0]) == {"a", "c", "d"}
    client.put_item(TableName="globals", Item=strings(a="1", c="y"))
    client.put_item(TableName="globals", Item=strings(a="2"))
    client.delete_item(TableName="globals", Key=strings(a="3"))
    until(lambda: found(client, "globals", "of_c", "c", "x") == [], ACTIVE_SECONDS)
    until(lambda: found(client, "globals", "of_c", "c", "y") == ["1"], ACTIVE_SECONDS)
    used = client.put_item(TableName="globals", Item=strings(a="1", c="z"), ReturnConsumedCapacity="INDEXES")
    used = used["ConsumedCapacity"]
    assert used["CapacityUnits"] == 3 and used["GlobalSecondaryIndexes"] == {"of_c": {"CapacityUnits": 2.0}}


def test_an_index_is_made_and_deleted_on_a_live_table(client):
    make(client, "live", "a", "a")
    for i in range(300):
        client.put_item(TableName="live", Item=strings(a=f"{i:03}", c=f"c{i % 3}"))
    client.update_table(
        TableName="live",
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in "ac"],
        GlobalSecondaryIndexUpdates=[{"Create": index("of_c", "c", "a")}],
    )

    def status():
        return client.describe_table(TableName="live")["Table"]

    described = status()["GlobalSecondaryIndexes"][0]
    assert described["IndexStatus"] in ("CREATING", "ACTIVE")
    client.put_item(TableName="live", Item=strings(a="new", c="c0"))
    until(lambda: status()["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE", ACTIVE_SECONDS)
    until(lambda: status()["TableStatus"] == "ACTIVE", ACTIVE_SECONDS)
    expected = sorted([f"{i:03}" for i in range(0, 300, 3)] + ["new"])
    until(lambda: found(client, "live", "of_c", "c", "c0") == expected, ACTIVE_SECONDS)
    client.update_table(TableName="live", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "of_c"}}])
    until(lambda: "GlobalSecondaryIndexes" not in status(), ACTIVE_SECONDS)
    with pytest.raises(ClientError, match="does not have the specified index"):
        query(client, "live", "of_c", "c", "c0")


def test_expired_items_vanish(dev):
    client = dynamodb(dev("--ttl-interval", "1").url)
    make(client, "mortal", "a", "a")
    client.update_time_to_live(TableName="mortal", TimeToLiveSpecification={"AttributeName": "at", "Enabled": True})
    described = client.describe_time_to_live(TableName="mortal")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "at"}
    now = int(time.time())
    for a, at in [("past", now - 60), ("future", now + 3600), ("ancient", now - 6 * 365 * 86400)]:
        client.put_item(TableName="mortal", Item={"a": {"S": a}, "at": {"N": str(at)}})

    def left():
        return sorted(item["a"]["S"] for item in client.scan(TableName="mortal")["Items"])

    until(lambda: left() == ["ancient", "future"], ACTIVE_SECONDS)


def streams_of(client):
    return dynamodb_streams(client.meta.endpoint_url)


def read_on(streams, iterator, count):
    """At least `count` records from an iterator on, and the next iterator (none at the end of a shard)."""
    records = []

    def look():
        nonlocal iterator
        if iterator:
            page = streams.get_records(ShardIterator=iterator)
            records.extend(page["Records"])
            iterator = page.get("NextShardIterator")
        return len(records) >= count

    until(look, ACTIVE_SECONDS)
    return records, iterator


def iterator_of(streams, arn, shard, kind="TRIM_HORIZON", **options):
    answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **options)
    return answer["ShardIterator"]


def test_a_stream_shows_each_change_once_and_in_order(client):
    spec = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    make(client, "streamed", "a", "a", StreamSpecification=spec)
    table = client.describe_table(TableName="streamed")["Table"]
    assert table["StreamSpecification"] == spec
    arn = table["LatestStreamArn"]
    streams = streams_of(client)
    listed = streams.list_streams(TableName="streamed")["Streams"]
    assert [(s["StreamArn"], s["StreamLabel"]) for s in listed] == [(arn, table["LatestStreamLabel"])]
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "ENABLED" and described["KeySchema"] == keys("a")
    (shard,) = described["Shards"]
    latest = iterator_of(streams, arn, shard["ShardId"], "LATEST")
    client.put_item(TableName="streamed", Item=strings(a="k", b="1"))
    client.put_item(TableName="streamed", Item=strings(a="k", b="1"))
    client.put_item(TableName="streamed", Item=strings(a="k", b="2"))
    client.delete_item(TableName="streamed", Key=strings(a="none"))
    client.delete_item(TableName="streamed", Key=strings(a="k"))
    records, following = read_on(streams, iterator_of(streams, arn, shard["ShardId"]), 3)
    assert [r["eventName"] for r in records] == ["INSERT", "MODIFY", "REMOVE"]
    changes = [r["dynamodb"] for r in records]
    assert [c.get("OldImage", {}).get("b", {}).get("S") for c in changes] == [None, "1", "2"]
    assert [c.get("NewImage", {}).get("b", {}).get("S") for c in changes] == ["1", "2", None]
    assert all(c["Keys"] == strings(a="k") for c in changes)
    numbers = [int(c["SequenceNumber"]) for c in changes]
    assert numbers == sorted(set(numbers))
    assert [r["eventID"] for r in read_on(streams, latest, 3)[0]] == [r["eventID"] for r in records]
    for kind, expected in [("AT_SEQUENCE_NUMBER", 2), ("AFTER_SEQUENCE_NUMBER", 1)]:
        at = changes[1]["SequenceNumber"]
        again, _ = read_on(streams, iterator_of(streams, arn, shard["ShardId"], kind, SequenceNumber=at), expected)
        assert len(again) == expected
    client.update_table(TableName="streamed", StreamSpecification={"StreamEnabled": False})
    until(lambda: "NextShardIterator" not in streams.get_records(ShardIterator=following), ACTIVE_SECONDS)
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    assert "EndingSequenceNumber" in shard["SequenceNumberRange"]


def test_views_and_errors_of_streams(client):
    streams = streams_of(client)
    for shown, images in [("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"})]:
        name = "view_" + shown
        make(client, name, "a", "a", StreamSpecification={"StreamEnabled": True, "StreamViewType": shown})
        for b in "12":
            client.put_item(TableName=name, Item=strings(a="k", b=b))
        arn = client.describe_table(TableName=name)["Table"]["LatestStreamArn"]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        records, _ = read_on(streams, iterator_of(streams, arn, shard["ShardId"]), 2)
        assert set(records[1]["dynamodb"]) & {"NewImage", "OldImage"} == images
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        streams.describe_stream(StreamArn=arn + "x")
    with pytest.raises(ClientError, match="Invalid ShardIterator"):
        streams.get_records(ShardIterator="nonsense")


def test_expiry_signs_its_stream_records(dev):
    client = dynamodb(dev("--ttl-interval", "1").url)
    make(client, "both", "a", "a")
    client.update_table(TableName="both", StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"})
    until(lambda: client.describe_table(TableName="both")["Table"]["TableStatus"] == "ACTIVE", ACTIVE_SECONDS)
    client.update_time_to_live(TableName="both", TimeToLiveSpecification={"AttributeName": "at", "Enabled": True})
    client.put_item(TableName="both", Item={"a": {"S": "k"}, "at": {"N": str(int(time.time()) - 5)}})
    streams = streams_of(client)
    arn = client.describe_table(TableName="both")["Table"]["LatestStreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    records, _ = read_on(streams, iterator_of(streams, arn, shard["ShardId"]), 2)
    assert [r["eventName"] for r in records] == ["INSERT", "REMOVE"]
    assert records[1]["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
