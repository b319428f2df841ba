"""What each operation of the service does here: `api/operations.json` says it, the README shows it, and a node does it."""

import json
from pathlib import Path

from api.inputs import model
from api.model_requests import Shapes
from harness.client import Bare, Refused, create_table

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


def test_a_node_does_what_is_told(dev):
    server = dev()
    create_table(server.client(), TABLE)
    arn = server.client().describe_table(TableName=TABLE)["Table"]["TableArn"]
    wrong = []
    for service in ("dynamodb", "dynamodbstreams"):
        shapes = Shapes(service)
        connection = Bare(server.address, service=service)
        for one in TOLD:
            operation = one["operation"]
            if operation not in shapes.operations:
                continue
            parameters = shapes.base(shapes.input(operation))
            members = shapes.shapes[shapes.input(operation)]["members"]
            parameters |= {name: TABLE for name in ("TableName", "SourceTableName", "GlobalTableName") if name in members}
            parameters |= {name: arn for name in ("TableArn", "ResourceArn") if name in parameters}
            if operation == "UpdateContinuousBackups":
                parameters["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": True}
            if operation == "UpdateContributorInsights":
                parameters["ContributorInsightsAction"] = "ENABLE"
            if operation in ("CreateTable", "DeleteTable"):
                parameters["TableName"] = "another"
            name, message = answer(connection, operation, parameters)
            refused = NOT_OFFERED in message
            none = any(word in name + message for word in NONE_OF_THE_KIND)
            right = {
                "served": not refused and name != "UnknownOperationException",
                "as with the feature off": name == "ok" or name == "PolicyNotFoundException",
                "as where there is none": none and not refused,
                "as where backups are unavailable": name in UNAVAILABLE,
                "refused by name": refused,
            }[one["answers"]]
            if not right:
                wrong.append((operation, one["answers"], name, message))
        connection.close()
    assert not wrong, wrong
