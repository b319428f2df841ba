"""Writes node/src/dynamo/input/generated.rs: the inputs of operations that have no hand-made table, after botocore's service model.

    python tests/e2e/api/inputs.py > node/src/dynamo/input/generated.rs && cargo fmt
"""

import gzip
import json
import os
import re

import botocore

#: Operations whose members stand in hand-made tables, in the order in which the service reports their violations.
BY_HAND = set(
    "GetItem PutItem UpdateItem DeleteItem Query Scan BatchGetItem BatchWriteItem DescribeTable ListTables DeleteTable "
    "DescribeTimeToLive UpdateTimeToLive DescribeContinuousBackups ListTagsOfResource DescribeLimits DescribeEndpoints "
    "TransactGetItems TransactWriteItems ExecuteStatement BatchExecuteStatement ExecuteTransaction".split()
)
#: Where the service is known to be stricter than the model: rules by structure and member.
KEY_SCHEMA = "&[{}Rule::MinLength(1), Rule::MaxLength({})]"
RULES = {
    ("CreateTableInput", "AttributeDefinitions"): "&[Rule::NotNull]",
    ("CreateTableInput", "TableName"): "&[Rule::Required, Rule::TableNameLength, Rule::Pattern]",
    ("CreateTableInput", "KeySchema"): KEY_SCHEMA.format("Rule::NotNull, ", 2),
    ("LocalSecondaryIndex", "KeySchema"): KEY_SCHEMA.format("Rule::NotNull, ", 2),
    # A global index's key has up to four attributes a part.
    ("GlobalSecondaryIndex", "KeySchema"): KEY_SCHEMA.format("Rule::NotNull, ", 8),
    ("CreateGlobalSecondaryIndexAction", "KeySchema"): KEY_SCHEMA.format("Rule::NotNull, ", 8),
    ("UpdateTableInput", "TableName"): "&[Rule::Required, Rule::TableNameLength, Rule::Pattern]",
}
#: Members in the order in which the service reports their violations, as dynalite's tests recorded it; others follow in the model's order.
ORDER = {
    "CreateTableInput": "AttributeDefinitions TableName BillingMode ProvisionedThroughput KeySchema LocalSecondaryIndexes GlobalSecondaryIndexes",
    "UpdateTableInput": "TableName BillingMode ProvisionedThroughput GlobalSecondaryIndexUpdates",
    "ProvisionedThroughput": "WriteCapacityUnits ReadCapacityUnits",
    "LocalSecondaryIndex": "Projection IndexName KeySchema",
    "GlobalSecondaryIndex": "Projection IndexName ProvisionedThroughput KeySchema",
    "CreateGlobalSecondaryIndexAction": "Projection IndexName ProvisionedThroughput KeySchema",
}
#: Values of enums in the order of the service's messages, likewise.
ENUMS = {
    "ScalarAttributeType": "B N S",
    "ProjectionType": "ALL INCLUDE KEYS_ONLY",
}
#: The pattern of names, and the functions of `patterns.rs` that stand for the others.
NAME = "[a-zA-Z0-9_.-]+"
PATTERNS = {
    r"\p{Print}+": "printable",
    r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*": "characters",
    r"([0-9a-f]{16})+": "token",
    r"^[^\$]+$": "no_dollar",
    r"^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$": "bucket",
    r"[0-9]{12}": "account",
    r"[,;:|\t ]": "delimiter",
    r"[\x20-\x21\x23-\x2B\x2D-\x7E]*": "header",
}
SCALARS = {
    "string": "String",
    "integer": "Integer",
    "long": "Long",
    "boolean": "Boolean",
    "blob": "Blob",
    "timestamp": "Double",
    "double": "Double",
}


def model(service="dynamodb"):
    folder = os.path.join(os.path.dirname(botocore.__file__), "data", service, "2012-08-10")
    for name, opener in (("service-2.json", open), ("service-2.json.gz", gzip.open)):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with opener(path) as file:
                return json.load(file)
    raise FileNotFoundError(folder)


def constant(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).upper()


class Writer:
    def __init__(self, shapes):
        self.shapes, self.done, self.lines = shapes, set(), []

    def shape(self, name):
        shape = self.shapes[name]
        kind = shape["type"]
        if kind in SCALARS:
            return f"Shape::{SCALARS[kind]}"
        if name == "AttributeValue":
            return "Shape::Structure(&ATTRIBUTE_VALUE)"
        if kind == "structure":
            self.structure(name)
            return f"Shape::Structure(&{constant(name)})"
        element = shape["member" if kind == "list" else "value"]["shape"]
        holder = "EACH_OF_" + constant(name)
        if holder not in self.done:
            self.done.add(holder)
            inner = self.shape(element)
            self.lines.append(f'static {holder}: Member = Member::new("", {inner}, {self.rules(element, False)});')
        if kind == "list":
            return f"Shape::List(&{holder})"
        return f'Shape::Map(&{holder}, "com.amazonaws.dynamodb.v20120810.{element}")'

    def rules(self, name, required):
        shape = self.shapes[name]
        rules = ["Rule::NotNull"] if required else []
        pattern = shape.get("pattern")
        if pattern == NAME:
            rules.append("Rule::Pattern")
        elif pattern:
            rules.append(f'Rule::Matches(r"{pattern}", patterns::{PATTERNS[pattern]})')
        if "enum" in shape:
            values = ENUMS.get(name, "").split() or shape["enum"]
            rules.append("Rule::Enum(&[" + ", ".join(f'"{value}"' for value in values) + "])")
        lengths = shape["type"] in ("string", "list", "map", "blob")
        for bound in ("min", "max"):
            if bound in shape:
                rules.append(f"Rule::{bound.title()}{'Length' if lengths else ''}({shape[bound]})")
        return "&[" + ", ".join(rules) + "]"

    def structure(self, name):
        if name in self.done:
            return
        self.done.add(name)
        shape = self.shapes[name]
        members = []
        first = ORDER.get(name, "").split()
        order = sorted(shape.get("members", {}), key=lambda member: first.index(member) if member in first else len(first))
        for member in order:
            of = shape["members"][member]
            rules = RULES.get((name, member)) or self.rules(of["shape"], member in shape.get("required", []))
            members.append(f'Member::new("{member}", {self.shape(of["shape"])}, {rules})')
        self.lines.append(f'pub static {constant(name)}: Structure = Structure::new("{name}", &[{", ".join(members)}]);')


def generated():
    """The file's text, before formatting."""
    service = model()
    writer = Writer(service["shapes"])
    arms = []
    for name, operation in sorted(service["operations"].items()):
        if name in BY_HAND:
            continue
        shape = operation["input"]["shape"]
        writer.structure(shape)
        arms.append(f'("{name}", &{constant(shape)})')
    head = [
        "//! Inputs of the operations on tables and on what surrounds them. Generated by `tests/e2e/api/inputs.py`: don't edit.",
        "",
        "use super::{ATTRIBUTE_VALUE, Member, Rule, Shape, Structure, patterns};",
        "",
        "/// Inputs by operation, sorted.",
        f"pub static ALL: &[(&str, &Structure)] = &[{', '.join(arms)}];",
        "",
    ]
    return "\n".join(head + writer.lines) + "\n"


if __name__ == "__main__":
    print(generated(), end="")
