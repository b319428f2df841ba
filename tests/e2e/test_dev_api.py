"""The DynamoDB API of `kv-node dev` as boto3 sees it: client and resource, expressions, paging, batches, errors word for word."""

from decimal import Decimal

import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from harness.client import create_table, dynamodb, resource
from harness.dev import Dev

THINGS, SERIES = "things", "series"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Dev(tmp_path_factory.mktemp("api"))
    yield node
    node.kill()


@pytest.fixture(scope="module")
def client(node):
    client = dynamodb(node.url)
    create_table(client, THINGS)
    create_table(client, SERIES, sort_key="n")
    return client


@pytest.fixture(scope="module")
def tables(node, client):
    service = resource(node.url)
    return service.Table(THINGS), service.Table(SERIES)


@pytest.fixture(scope="module")
def series(tables):
    """Sixty items of one partition key, 1 to 60, each over 20 KB: more than a page of 1 MiB."""
    table = tables[1]
    with table.batch_writer() as batch:
        for n in range(1, 61):
            batch.put_item({"id": "s", "n": n, "even": n % 2 == 0, "pad": "x" * 20_000})
    return table


def refused(call, **parameters):
    """(type, message, status) of the error that a call must end with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


# Tables


def test_a_table_comes_shows_itself_and_goes(client):
    description = create_table(client, "passing", sort_key="n")
    assert description["TableName"] == "passing" and description["TableArn"].endswith(":table/passing")
    table = client.describe_table(TableName="passing")["Table"]
    assert table["TableStatus"] == "ACTIVE" and table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}]
    assert "passing" in client.list_tables()["TableNames"]
    client.delete_table(TableName="passing")
    client.get_waiter("table_not_exists").wait(TableName="passing", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    assert "passing" not in client.list_tables()["TableNames"]


def test_tables_are_listed_in_pages(client):
    names = [f"page-{n}" for n in range(5)]
    for name in names:
        create_table(client, name)
    pages = list(client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 2}))
    assert all(len(page["TableNames"]) <= 2 for page in pages)
    listed = [name for page in pages for name in page["TableNames"]]
    assert listed == sorted(listed) and set(names) <= set(listed)
    for name in names:
        client.delete_table(TableName=name)


def test_a_deleted_table_comes_back_empty(client):
    create_table(client, "again")
    client.put_item(TableName="again", Item={"id": {"S": "1"}})
    client.delete_table(TableName="again")
    client.get_waiter("table_not_exists").wait(TableName="again", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    create_table(client, "again")
    assert client.scan(TableName="again")["Count"] == 0
    client.delete_table(TableName="again")


# Items


def test_all_types_come_back_as_they_went(tables):
    things, _ = tables
    item = {
        "id": "types",
        "string": "žluťoučký kůň \U0001f40e",
        "number": Decimal("-1234567890123456789012345678901234.5678"),
        "tiny": Decimal("1E-130"),
        "binary": b"\x00\xff",
        "yes": True,
        "nothing": None,
        "list": [1, "two", [3]],
        "map": {"a": {"b": {"c": Decimal(1)}}},
        "strings": {"a", "b"},
        "numbers": {Decimal(1), Decimal("2.5")},
        "binaries": {b"a", b"b"},
        "empty": "",
    }
    things.put_item(Item=item)
    read = things.get_item(Key={"id": "types"}, ConsistentRead=True)["Item"]
    assert read["binary"].value == item["binary"] and {b.value for b in read["binaries"]} == item["binaries"]
    for name in item.keys() - {"binary", "binaries"}:
        assert read[name] == item[name], name


def test_put_get_delete_and_old_values(client):
    key = {"id": {"S": "crud"}}
    assert "Item" not in client.get_item(TableName=THINGS, Key=key)
    assert "Attributes" not in client.put_item(TableName=THINGS, Item=key | {"v": {"N": "1"}}, ReturnValues="ALL_OLD")
    old = client.put_item(TableName=THINGS, Item=key | {"v": {"N": "2"}}, ReturnValues="ALL_OLD")["Attributes"]
    assert old == key | {"v": {"N": "1"}}
    assert client.get_item(TableName=THINGS, Key=key, ConsistentRead=True)["Item"]["v"] == {"N": "2"}
    assert client.delete_item(TableName=THINGS, Key=key, ReturnValues="ALL_OLD")["Attributes"]["v"] == {"N": "2"}
    assert "Item" not in client.get_item(TableName=THINGS, Key=key, ConsistentRead=True)
    client.delete_item(TableName=THINGS, Key=key)


def test_numbers_are_exact(tables):
    things, _ = tables
    things.put_item(Item={"id": "sum", "v": Decimal("0.1")})
    for _ in range(9):
        things.update_item(Key={"id": "sum"}, UpdateExpression="ADD v :d", ExpressionAttributeValues={":d": Decimal("0.1")})
    assert things.get_item(Key={"id": "sum"}, ConsistentRead=True)["Item"]["v"] == Decimal(1)


def test_updates(tables):
    things, _ = tables
    key = {"id": "update"}
    things.put_item(Item=key | {"a": 1, "list": [1, 2, 3], "tags": {"x", "y"}, "gone": True, "deep": {"b": {"c": 1}}})
    answer = things.update_item(
        Key=key,
        UpdateExpression="SET a = a + :one, deep.b.c = if_not_exists(deep.b.d, :ten), #l = list_append(#l, :more), fresh = :one"
        " REMOVE gone ADD tally :ten DELETE tags :x",
        ExpressionAttributeNames={"#l": "list"},
        ExpressionAttributeValues={":one": 1, ":ten": 10, ":more": [4], ":x": {"x"}},
        ReturnValues="ALL_NEW",
    )
    assert answer["Attributes"] == key | {"a": 2, "list": [1, 2, 3, 4], "tags": {"y"}, "deep": {"b": {"c": 10}}, "fresh": 1, "tally": 10}
    answer = things.update_item(Key=key, UpdateExpression="SET a = :v", ExpressionAttributeValues={":v": 7}, ReturnValues="UPDATED_OLD")
    assert answer["Attributes"] == {"a": 2}
    answer = things.update_item(Key={"id": "born by update"}, UpdateExpression="ADD n :v", ExpressionAttributeValues={":v": 5}, ReturnValues="UPDATED_NEW")
    assert answer["Attributes"] == {"n": 5}


def test_conditions(client, tables):
    things, _ = tables
    things.put_item(Item={"id": "cond", "v": 1, "name": "ada"})
    things.put_item(Item={"id": "cond", "v": 2, "name": "ada"}, ConditionExpression=Attr("v").eq(1) & Attr("name").begins_with("a"))
    code, message, status = refused(things.put_item, Item={"id": "cond"}, ConditionExpression=Attr("id").not_exists())
    assert (code, message, status) == ("ConditionalCheckFailedException", "The conditional request failed", 400)
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
        client.delete_item(
            TableName=THINGS,
            Key={"id": {"S": "cond"}},
            ConditionExpression="v > :v",
            ExpressionAttributeValues={":v": {"N": "2"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Item"]["v"] == {"N": "2"}
    condition = Attr("v").between(1, 3) & (Attr("name").contains("d") | Attr("nope").exists()) & Attr("v").is_in([2, 9]) & ~Attr("name").size().gt(3)
    things.delete_item(Key={"id": "cond"}, ConditionExpression=condition)
    assert "Item" not in things.get_item(Key={"id": "cond"}, ConsistentRead=True)


def test_projections(tables):
    things, _ = tables
    things.put_item(Item={"id": "proj", "a": {"b": [1, {"c": 2}]}, "name": "n"})
    read = things.get_item(Key={"id": "proj"}, ProjectionExpression="a.b[1].c, #n", ExpressionAttributeNames={"#n": "name"})
    assert read["Item"] == {"a": {"b": [{"c": 2}]}, "name": "n"}


# Query and Scan


def test_query_goes_by_the_sort_key_forwards_and_backwards(series):
    def ns(**parameters):
        return [int(item["n"]) for item in series.query(**parameters)["Items"]]

    assert ns(KeyConditionExpression=Key("id").eq("s") & Key("n").between(7, 10)) == [7, 8, 9, 10]
    assert ns(KeyConditionExpression=Key("id").eq("s") & Key("n").gt(57), ScanIndexForward=False) == [60, 59, 58]
    assert ns(KeyConditionExpression=Key("id").eq("s") & Key("n").lte(2), ConsistentRead=True) == [1, 2]
    assert ns(KeyConditionExpression=Key("id").eq("nobody")) == []


def test_query_in_pages_of_limit_and_of_a_mebibyte(client, series):
    parameters = {"TableName": SERIES, "KeyConditionExpression": "id = :s", "ExpressionAttributeValues": {":s": {"S": "s"}}}
    pages = list(client.get_paginator("query").paginate(**parameters, PaginationConfig={"PageSize": 7}))
    assert [page["Count"] for page in pages[:8]] == [7] * 8
    assert [int(item["n"]["N"]) for page in pages for item in page["Items"]] == list(range(1, 61))
    first = client.query(**parameters)
    assert 45 <= first["Count"] <= 53 and first["LastEvaluatedKey"]["n"] == {"N": str(first["Count"])}
    rest = client.query(**parameters, ExclusiveStartKey=first["LastEvaluatedKey"])
    assert first["Count"] + rest["Count"] == 60 and "LastEvaluatedKey" not in rest


def test_filters_count_what_they_looked_at(series):
    answer = series.query(KeyConditionExpression=Key("id").eq("s"), FilterExpression=Attr("even").eq(True), Limit=10)
    assert (answer["Count"], answer["ScannedCount"]) == (5, 10)
    answer = series.query(KeyConditionExpression=Key("id").eq("s") & Key("n").lt(11), Select="COUNT")
    assert answer["Count"] == 10 and "Items" not in answer


def test_scan_whole_and_in_segments(client, tables):
    things, _ = tables
    create_table(client, "scanned")
    names = {f"item {n}" for n in range(200)}
    for start in range(0, 200, 25):
        puts = [{"PutRequest": {"Item": {"id": {"S": f"item {n}"}}}} for n in range(start, start + 25)]
        assert client.batch_write_item(RequestItems={"scanned": puts})["UnprocessedItems"] == {}
    pages = client.get_paginator("scan").paginate(TableName="scanned", PaginationConfig={"PageSize": 33})
    whole = [item["id"]["S"] for page in pages for item in page["Items"]]
    assert sorted(whole) == sorted(names)
    parts = []
    for segment in range(4):
        for page in client.get_paginator("scan").paginate(TableName="scanned", Segment=segment, TotalSegments=4):
            parts += [item["id"]["S"] for item in page["Items"]]
    assert sorted(parts) == sorted(names)


# Batches


def test_batches_write_delete_and_read(client):
    puts = [{"PutRequest": {"Item": {"id": {"S": f"batch {n}"}, "v": {"N": str(n)}}}} for n in range(25)]
    assert client.batch_write_item(RequestItems={THINGS: puts})["UnprocessedItems"] == {}
    mixed = [{"DeleteRequest": {"Key": {"id": {"S": "batch 0"}}}}, {"PutRequest": {"Item": {"id": {"S": "batch 1"}, "v": {"N": "100"}}}}]
    client.batch_write_item(RequestItems={THINGS: mixed})
    keys = [{"id": {"S": f"batch {n}"}} for n in range(25)]
    answer = client.batch_get_item(RequestItems={THINGS: {"Keys": keys, "ConsistentRead": True}})
    assert answer["UnprocessedKeys"] == {}
    found = {item["id"]["S"]: item["v"]["N"] for item in answer["Responses"][THINGS]}
    assert found == {"batch 1": "100"} | {f"batch {n}": str(n) for n in range(2, 25)}


# Errors


@pytest.mark.parametrize(
    ("operation", "parameters", "code", "words"),
    [
        ("get_item", {"TableName": "nowhere", "Key": {"id": {"S": "1"}}}, "ResourceNotFoundException", "Requested resource not found"),
        ("describe_table", {"TableName": "nowhere"}, "ResourceNotFoundException", "Requested resource not found: Table: nowhere not found"),
        ("get_item", {"Key": {"wrong": {"S": "1"}}}, "ValidationException", "The provided key element does not match the schema"),
        ("get_item", {"Key": {"id": {"N": "1"}}}, "ValidationException", "The provided key element does not match the schema"),
        ("put_item", {"Item": {"v": {"S": "1"}}}, "ValidationException", "One or more parameter values were invalid: Missing the key id in the item"),
        (
            "put_item",
            {"Item": {"id": {"S": ""}}},
            "ValidationException",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: id",
        ),
        (
            "put_item",
            {"Item": {"id": {"N": "1"}}},
            "ValidationException",
            "One or more parameter values were invalid: Type mismatch for key id expected: S actual: N",
        ),
        ("put_item", {"Item": {"id": {"S": "1"}, "v": {"S": "x" * 409_600}}}, "ValidationException", "Item size has exceeded the maximum allowed size"),
        (
            "put_item",
            {"Item": {"id": {"S": "1"}, "v": {"N": "1" * 39}}},
            "ValidationException",
            "Attempting to store more than 38 significant digits in a Number",
        ),
        (
            "get_item",
            {"Key": {"id": {"S": "1"}}, "ProjectionExpression": "name"},
            "ValidationException",
            "Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: name",
        ),
        (
            "put_item",
            {"Item": {"id": {"S": "1"}}, "ConditionExpression": "v ="},
            "ValidationException",
            'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="',
        ),
        (
            "update_item",
            {"Key": {"id": {"S": "1"}}, "UpdateExpression": "SET v = :missing"},
            "ValidationException",
            "Invalid UpdateExpression: An expression attribute value used in expression is not defined; attribute value: :missing",
        ),
        (
            "update_item",
            {"Key": {"id": {"S": "1"}}, "UpdateExpression": "SET id = :v", "ExpressionAttributeValues": {":v": {"S": "2"}}},
            "ValidationException",
            "One or more parameter values were invalid: Cannot update attribute id. This attribute is part of the key",
        ),
    ],
)
def test_errors_have_the_service_s_types_and_words(client, operation, parameters, code, words):
    assert refused(getattr(client, operation), **{"TableName": THINGS} | parameters) == (code, words, 400)


def test_a_table_that_is_there_is_not_made_again(client):
    code, message, status = refused(create_table, client=client, name=THINGS)
    assert (code, message, status) == ("ResourceInUseException", f"Table already exists: {THINGS}", 400)
    with pytest.raises(client.exceptions.ResourceInUseException):
        create_table(client, THINGS)


def test_an_update_of_the_wrong_type_changes_nothing(client):
    client.put_item(TableName=THINGS, Item={"id": {"S": "typed"}, "v": {"S": "text"}})
    update = {"TableName": THINGS, "Key": {"id": {"S": "typed"}}, "UpdateExpression": "SET v = v + :n", "ExpressionAttributeValues": {":n": {"N": "1"}}}
    code, message, _ = refused(client.update_item, **update)
    assert (code, message) == ("ValidationException", "An operand in the update expression has an incorrect data type")
    assert client.get_item(TableName=THINGS, Key={"id": {"S": "typed"}}, ConsistentRead=True)["Item"]["v"] == {"S": "text"}


def test_transactions_are_all_or_nothing(client):
    put = {"Put": {"TableName": THINGS, "Item": {"id": {"S": "t1"}, "v": {"S": "one"}}}}
    new = {"Put": {"TableName": THINGS, "Item": {"id": {"S": "t2"}}, "ConditionExpression": "attribute_not_exists(id)"}}
    client.transact_write_items(TransactItems=[put, new])
    with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
        client.transact_write_items(TransactItems=[{"Delete": {"TableName": THINGS, "Key": {"id": {"S": "t1"}}}}, new])
    assert [reason["Code"] for reason in caught.value.response["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    gets = [{"Get": {"TableName": THINGS, "Key": {"id": {"S": key}}}} for key in ("t1", "t2", "none")]
    found = client.transact_get_items(TransactItems=gets)["Responses"]
    assert [one.get("Item", {}).get("id", {}).get("S") for one in found] == ["t1", "t2", None]
