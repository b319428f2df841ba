"""What each operation of the service does here: `api/operations.json` says it, the README shows it, and a node does it."""

import json
from pathlib import Path

from api.inputs import model
from api.model_requests import Shapes
from harness.client import Bare, Refused, create_table
from harness.wait import eventually

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
TOLD = json.loads((HERE / "api" / "operations.json").read_text())
HEADING = "## What of the API is there"
TABLE = "rides"
NOT_OFFERED = "is not offered here"
#: What a refusal says where nothing of the kind exists, or where it is off.
NONE_OF_THE_KIND = ("NotFoundException", "is not in a valid state to", "Bulk operation:")
UNAVAILABLE = ("ContinuousBackupsUnavailableException", "PointInTimeRecoveryUnavailableException")


def rendered():
    """The table of the README: operations of which the same is to be said share a row."""
    rows = {}
    for one in TOLD:
        rows.setdefault((one["answers"], one["differs"]), []).append(one["operation"])
    lines = [f"| {', '.join(f'`{name}`' for name in names)} | {answers} | {differs} |" for (answers, differs), names in rows.items()]
    return "\n".join(["| operations | are | what differs |", "| --- | --- | --- |", *lines])


def test_the_readme_shows_what_is_told():
    section = README.read_text().split(HEADING + "\n", 1)[1].split("\n## ", 1)[0]
    assert rendered() in section, "the README's table is another: put in\n" + rendered()


def test_every_operation_of_the_services_is_told_of_once():
    told = [one["operation"] for one in TOLD]
    assert sorted(told) == sorted([*model("dynamodb")["operations"], *model("dynamodbstreams")["operations"]])


def answer(server, operation, parameters):
    """(name, message) of the answer; `ok` if it is none of an error."""
    try:
        server.call(operation, **parameters)
    except Refused as refused:
        return refused.name, refused.message
    return "ok", ""


KEY = {"id": {"S": "1"}}
OF_TABLE = {"TableName": TABLE}
STATEMENT = {"Statement": f"SELECT * FROM {TABLE} WHERE id = '1'"}
#: A request of each operation that is served, which can only be answered by doing it; in this order. Streams' follow from one another.
REQUESTS = {
    "PutItem": OF_TABLE | {"Item": KEY},
    "GetItem": OF_TABLE | {"Key": KEY},
    "UpdateItem": OF_TABLE | {"Key": KEY, "UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"N": "1"}}},
    "Query": OF_TABLE | {"KeyConditionExpression": "id = :id", "ExpressionAttributeValues": {":id": {"S": "1"}}},
    "Scan": OF_TABLE,
    "BatchGetItem": {"RequestItems": {TABLE: {"Keys": [KEY]}}},
    "BatchWriteItem": {"RequestItems": {TABLE: [{"PutRequest": {"Item": KEY}}]}},
    "TransactGetItems": {"TransactItems": [{"Get": OF_TABLE | {"Key": KEY}}]},
    "TransactWriteItems": {"TransactItems": [{"Put": OF_TABLE | {"Item": KEY}}]},
    "ExecuteTransaction": {"TransactStatements": [STATEMENT]},
    "ExecuteStatement": STATEMENT,
    "BatchExecuteStatement": {"Statements": [STATEMENT]},
    "DeleteItem": OF_TABLE | {"Key": KEY},
    "CreateTable": {
        "TableName": "another",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    },
    "UpdateTable": OF_TABLE | {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}},
    "DescribeTable": OF_TABLE,
    "ListTables": {},
    "DescribeLimits": {},
    "DescribeEndpoints": {},
    "UpdateTimeToLive": OF_TABLE | {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": "t"}},
    "DescribeTimeToLive": OF_TABLE,
}


def test_what_is_served_is_done(dev):
    server = dev()
    client = server.client()
    create_table(client, TABLE)
    told = {one["operation"] for one in TOLD if one["answers"] == "served"}
    tables, streams = Bare(server.address), Bare(server.address, service="dynamodbstreams")
    answers = {}
    for operation, parameters in REQUESTS.items():
        answers[operation] = tables.call(operation, **parameters)
        if operation == "UpdateTable":
            eventually("the table as before", lambda: client.describe_table(**OF_TABLE)["Table"]["TableStatus"] == "ACTIVE", 30)
    assert answers["GetItem"]["Item"] == KEY and answers["Query"]["Count"] == 1, answers
    assert answers["ExecuteStatement"]["Items"] == [KEY], answers
    client.get_waiter("table_exists").wait(TableName="another", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    arn = answers["DescribeTable"]["Table"]["TableArn"]
    tables.call("TagResource", ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert tables.call("ListTagsOfResource", ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    tables.call("UntagResource", ResourceArn=arn, TagKeys=["a"])
    tables.call("DeleteTable", TableName="another")
    stream = streams.call("ListStreams")["Streams"][0]["StreamArn"]
    shards = streams.call("DescribeStream", StreamArn=stream)["StreamDescription"]["Shards"]
    iterator = streams.call("GetShardIterator", StreamArn=stream, ShardId=shards[0]["ShardId"], ShardIteratorType="TRIM_HORIZON")
    assert "Records" in streams.call("GetRecords", ShardIterator=iterator["ShardIterator"])
    here = {"TagResource", "ListTagsOfResource", "UntagResource", "DeleteTable", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}
    assert told == set(REQUESTS) | here
    tables.close()
    streams.close()


def test_what_is_not_served_is_told_as_it_is_said(dev):
    server = dev()
    create_table(server.client(), TABLE)
    arn = server.client().describe_table(TableName=TABLE)["Table"]["TableArn"]
    wrong = []
    for service in ("dynamodb", "dynamodbstreams"):
        shapes = Shapes(service)
        connection = Bare(server.address, service=service)
        for one in TOLD:
            operation = one["operation"]
            if operation not in shapes.operations or one["answers"] == "served":
                continue
            parameters = shapes.base(shapes.input(operation))
            members = shapes.shapes[shapes.input(operation)]["members"]
            parameters |= {name: TABLE for name in ("TableName", "SourceTableName", "GlobalTableName") if name in members}
            parameters |= {name: arn for name in ("TableArn", "ResourceArn") if name in parameters}
            if operation == "UpdateContinuousBackups":
                parameters["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": True}
            if operation == "UpdateContributorInsights":
                parameters["ContributorInsightsAction"] = "ENABLE"
            name, message = answer(connection, operation, parameters)
            refused = NOT_OFFERED in message
            none = any(word in name + message for word in NONE_OF_THE_KIND)
            right = {
                "as with the feature off": name == "ok" or name == "PolicyNotFoundException",
                "as where there is none": none and not refused,
                "as where backups are unavailable": name in UNAVAILABLE,
                "refused by name": refused,
            }[one["answers"]]
            if not right:
                wrong.append((operation, one["answers"], name, message))
        connection.close()
    assert not wrong, wrong
