"""Requests with one mistake, and with each two mistakes that can meet in one request: which of them does the answer tell of?

A mistake is a change of a valid request. `MISTAKES` has them by operation, `ORDER` says which goes before which.
"""

import copy
import itertools

KEY = {"p": {"S": "a"}, "r": {"N": "1"}}
CHECKED = {"ConditionExpression": "n <> :v", "ExpressionAttributeValues": {":v": {"N": "1"}}}
#: Each with an expression and placeholders, so that mistakes in those meet nothing that is missing.
VALID = {
    "PutItem": {"Item": KEY | {"n": {"N": "5"}}} | CHECKED,
    "GetItem": {"Key": KEY, "ProjectionExpression": "#v", "ExpressionAttributeNames": {"#v": "n"}},
    "UpdateItem": {"Key": KEY, "UpdateExpression": "SET x = :v", "ExpressionAttributeValues": {":v": {"N": "1"}}},
    "DeleteItem": {"Key": KEY} | CHECKED,
    "Query": {"KeyConditionExpression": "p = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}},
    "Scan": {"FilterExpression": "n <> :v", "ExpressionAttributeValues": {":v": {"N": "1"}}},
}


def put(**members):
    """Sets members of the request; `...` takes one away."""

    def change(parameters):
        for name, value in members.items():
            if value is ...:
                parameters.pop(name, None)
            else:
                parameters[name] = value

    change.members = set(members)
    return change


def within(name, **members):
    """Changes members of a member that is a map."""

    def change(parameters):
        inner = parameters.setdefault(name, {})
        for key, value in members.items():
            if value is ...:
                inner.pop(key, None)
            else:
                inner[key] = value

    change.members = {(name, key) for key in members}
    return change


def values(**more):
    return within("ExpressionAttributeValues", **{f":{name}": value for name, value in more.items()})


def names(**more):
    return within("ExpressionAttributeNames", **{f"#{name}": value for name, value in more.items()})


def both(*changes):
    def change(parameters):
        for one in changes:
            one(parameters)

    change.members = set().union(*(one.members for one in changes))
    return change


TABLE = {"no such table": put(TableName="nowhere")}
PLACEHOLDERS = {
    "an unused value": values(unused={"N": "1"}),
    "an unused name": names(unused="x"),
    "an empty name": names(empty=""),
    "a value with a bad number": values(bad={"N": "x"}),
    "a value with an empty set": values(bad={"SS": []}),
    "a value of no type": values(bad={}),
    "a name of a bad form": within("ExpressionAttributeNames", bad="x"),
    "a value of a bad form": within("ExpressionAttributeValues", bad={"N": "1"}),
}


def expression(name, undefined="n <> :v AND x = :nosuch", syntax="x =", reserved="data = :v"):
    return {
        f"{name} empty": put(**{name: ""}),
        f"{name} too long": put(**{name: "a = :v OR " * 500 + "a = :v"}),
        f"{name} of bad syntax": put(**{name: syntax}),
        f"{name} with a reserved word": put(**{name: reserved}),
        f"{name} undefined": put(**{name: undefined}),
    }


CONDITION = expression("ConditionExpression")
FILTER = expression("FilterExpression")
PROJECTION = expression("ProjectionExpression", "#v, #nosuch", "a,", "data")
EXPECTED = {
    "Expected": put(Expected={"x": {"Exists": False}}),
    "ConditionalOperator": put(ConditionalOperator="AND"),
}
KEYS = {
    "a key without its range": within("Key", r=...),
    "a key of another type": within("Key", r={"S": "x"}),
    "a key with more": within("Key", z={"N": "1"}),
    "a key that is empty": within("Key", p={"S": ""}),
    "a key with a bad number": within("Key", r={"N": "x"}),
    "a key too long": within("Key", p={"S": "x" * 2049}),
}
SHAPE = {
    "ReturnConsumedCapacity of no kind": put(ReturnConsumedCapacity="X"),
}
PAGES = {
    "a limit of 0": put(Limit=0),
    "Select of specific attributes": put(Select="SPECIFIC_ATTRIBUTES"),
    # With an index it is none.
    "Select of projected attributes": put(Select="ALL_PROJECTED_ATTRIBUTES", IndexName=...),
    "AttributesToGet": put(AttributesToGet=["x"]),
    "no such index": put(IndexName="nosuch"),
    "a start that is no key": put(ExclusiveStartKey={"p": {"S": "a"}}),
    "a start of another type": put(ExclusiveStartKey={"p": {"N": "1"}, "r": {"N": "1"}}),
    "ConditionalOperator": put(ConditionalOperator="AND"),
}

MISTAKES = {
    "PutItem": TABLE
    | PLACEHOLDERS
    | CONDITION
    | EXPECTED
    | SHAPE
    | {
        "an item without a range": within("Item", r=...),
        "an item with a key of another type": within("Item", r={"S": "x"}),
        "an item with an empty key": within("Item", p={"S": ""}),
        "an item with a bad number": within("Item", bad={"N": "x"}),
        "an item with an empty set": within("Item", bad={"SS": []}),
        "an item with a set of duplicates": within("Item", bad={"NS": ["1", "1"]}),
        "an item too large": within("Item", large={"S": "x" * 410_000}),
        "an item with a value of two types": within("Item", bad={"S": "a", "N": "1"}),
        "ReturnValues of an update": put(ReturnValues="ALL_NEW"),
    },
    "GetItem": TABLE | KEYS | PROJECTION | SHAPE | {"AttributesToGet": put(AttributesToGet=["x"])}
    | {"an unused name": names(unused="x"), "an empty name": names(empty="")},
    "UpdateItem": TABLE
    | KEYS
    | PLACEHOLDERS
    | CONDITION
    | EXPECTED
    | SHAPE
    | expression("UpdateExpression", "SET b = :v, a = :nosuch", "SET a", "SET data = :v")
    | {
        "an update of a key": put(UpdateExpression="SET r = :v"),
        "an update with clashing paths": put(UpdateExpression="SET a = :v, a.b = :v"),
        "an update that is too large": values(v={"S": "x" * 410_000}),
        "AttributeUpdates": put(AttributeUpdates={"x": {"Value": {"N": "1"}}}),
    },
    "DeleteItem": TABLE | KEYS | PLACEHOLDERS | CONDITION | EXPECTED | SHAPE | {"ReturnValues of an update": put(ReturnValues="ALL_NEW")},
    "Query": TABLE
    | PLACEHOLDERS
    | FILTER
    | PROJECTION
    | SHAPE
    | PAGES
    | expression("KeyConditionExpression", "p = :v AND r = :nosuch", "p =", "data = :v")
    | {
        "a key condition without the hash": put(KeyConditionExpression="r = :v"),
        "a key condition of another type": values(v={"N": "1"}),
        "a key condition of no key": put(KeyConditionExpression="p = :v AND x = :v"),
        "a key condition with OR": put(KeyConditionExpression="p = :v OR r = :v"),
        "a key condition of an empty key": values(v={"S": ""}),
        "KeyConditions": put(KeyConditions={"p": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}}),
        "QueryFilter": put(QueryFilter={"x": {"ComparisonOperator": "NULL"}}),
        "a filter of a key": both(put(FilterExpression="r = :r"), values(r={"N": "1"})),
    },
    "Scan": TABLE
    | PLACEHOLDERS
    | FILTER
    | PROJECTION
    | SHAPE
    | PAGES
    | {
        "a segment alone": put(Segment=0),
        "segments alone": put(TotalSegments=2),
        "a segment too high": put(Segment=2, TotalSegments=2),
        "ScanFilter": put(ScanFilter={"x": {"ComparisonOperator": "NULL"}}),
        "a negative segment": put(Segment=-1),
    },
}


EXPRESSION = "empty, too long, of bad syntax, with a reserved word, undefined".split(", ")


def each(name):
    return [f"{name} {mistake}" for mistake in EXPRESSION]


#: What the placeholders of a request may do wrong, in order.
MAPS = [
    ["a name of a bad form"],
    ["an empty name"],
    ["a value of a bad form"],
    ["a value with a bad number", "a value with an empty set", "a value of no type"],
]
UNUSED = [["an unused name"], ["an unused value"]]
KEYS_ORDER = [["a key without its range", "a key of another type", "a key with more"], ["a key that is empty", "a key too long"]]
CAPACITY = ["ReturnConsumedCapacity of no kind"]

#: Of two mistakes the answer tells of the one that stands in the earlier line; those of one line have no order of their own. The order is
#: that of the service: the shape of the request; parameters that exclude each other; values; what goes with the kind of the operation; the
#: placeholders; the expressions; placeholders that none of them uses; and only then what needs the table: its key schema, its indexes.
ORDER = {
    "PutItem": [
        CAPACITY,
        ["Expected", "ConditionalOperator"],
        ["an item with a bad number", "an item with an empty set", "an item with a set of duplicates", "an item with a value of two types"],
        ["ReturnValues of an update"],
        ["an item too large"],
        *MAPS,
        each("ConditionExpression"),
        *UNUSED,
        ["no such table"],
        ["an item without a range", "an item with a key of another type"],
        ["an item with an empty key"],
    ],
    "GetItem": [
        CAPACITY,
        ["AttributesToGet"],
        ["a key with a bad number"],
        ["an empty name"],
        each("ProjectionExpression"),
        ["an unused name"],
        ["no such table"],
        *KEYS_ORDER,
    ],
    "UpdateItem": [
        CAPACITY,
        ["Expected", "ConditionalOperator", "AttributeUpdates"],
        ["a key with a bad number"],
        *MAPS,
        [*each("UpdateExpression"), "an update with clashing paths"],
        each("ConditionExpression"),
        *UNUSED,
        ["no such table"],
        *KEYS_ORDER,
        ["an update of a key"],
        ["an update that is too large"],
    ],
    "DeleteItem": [
        CAPACITY,
        ["Expected", "ConditionalOperator"],
        ["a key with a bad number"],
        ["ReturnValues of an update"],
        *MAPS,
        each("ConditionExpression"),
        *UNUSED,
        ["no such table"],
        *KEYS_ORDER,
    ],
    "Query": [
        [*CAPACITY, "a limit of 0"],
        ["AttributesToGet", "ConditionalOperator", "KeyConditions", "QueryFilter"],
        *MAPS,
        each("KeyConditionExpression"),
        each("FilterExpression"),
        each("ProjectionExpression"),
        *UNUSED,
        ["a key condition with OR"],
        ["Select of specific attributes", "Select of projected attributes"],
        ["no such table"],
        ["no such index"],
        ["a key condition without the hash"],
        ["a key condition of another type"],
        ["a key condition of no key"],
        ["a key condition of an empty key"],
        ["a filter of a key"],
        ["a start that is no key", "a start of another type"],
    ],
    "Scan": [
        [*CAPACITY, "a limit of 0", "a negative segment"],
        ["AttributesToGet", "ConditionalOperator", "ScanFilter"],
        ["a segment alone", "segments alone", "a segment too high"],
        *MAPS,
        each("FilterExpression"),
        each("ProjectionExpression"),
        *UNUSED,
        ["Select of specific attributes", "Select of projected attributes"],
        ["no such table"],
        ["no such index"],
        ["a start that is no key", "a start of another type"],
    ],
}


def stage(operation, mistake):
    """The line of `ORDER` that a mistake stands in."""
    return next(number for number, line in enumerate(ORDER[operation]) if mistake in line)


def singles():
    """(operation, mistake, parameters) of each mistake alone."""
    for operation, mistakes in MISTAKES.items():
        for name, change in mistakes.items():
            yield operation, name, changed(operation, change)


def pairs():
    """(operation, the mistake that is told of, the other one, parameters) of each two mistakes of different lines that can meet."""
    for operation, mistakes in MISTAKES.items():
        for (name, change), (other, another) in itertools.permutations(mistakes.items(), 2):
            if stage(operation, name) < stage(operation, other) and not touches(change.members, another.members):
                yield operation, name, other, changed(operation, change, another)


def changed(operation, *changes):
    parameters = {"TableName": "cases"} | copy.deepcopy(VALID[operation])
    for change in changes:
        change(parameters)
    return parameters


def touches(one, two):
    """Whether two changes meet in a member."""

    def outer(member):
        return member if isinstance(member, str) else member[0]

    whole = {member for member in one | two if isinstance(member, str)}
    return bool(one & two) or any(outer(a) == outer(b) and outer(a) in whole for a in one for b in two)
