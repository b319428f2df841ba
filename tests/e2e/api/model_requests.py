"""Requests made from botocore's service model: for every operation a valid one, and for every member, however deep, ones that break
each of its constraints, alone, and ones at the bounds.

`cases(operation)` yields `Case`s. `expected` is what the service's rule says of the request: the exception and its message, or None where
the model alone does not tell (the request is valid as far as the model goes).
"""

import copy
import dataclasses
import re

from api.inputs import BY_HAND, model

#: The inside of values belongs to the data model, which has tests of its own.
OPAQUE = "AttributeValue"
VALUE = {"S": "a"}
#: Longer texts and lists are not sent at their bound: the bound is then one of the request.
LENGTH_SENT_MAX = 70_000
#: Shapes of names of tables. The service checks them by rules that the model does not tell: `names_of_tables`.
TABLES = ("TableArn", "TableName")
NAME = "[a-zA-Z0-9_.-]+"
#: Operations that tell of a table's name in words of their own, before all else (recorded from the service in dynalite's tests).
FIRST = "CreateTable DescribeTable DeleteTable UpdateTable DescribeTimeToLive UpdateTimeToLive DescribeContinuousBackups".split()
#: Members that the model calls optional and that the service wants all the same, unless other members take their place.
NEEDED = {
    "CreateTableInput": {
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
    }
}
NUMBERS = {"integer": 2**31 - 1, "long": 2**63 - 1}


@dataclasses.dataclass
class Case:
    operation: str
    #: What is done to which member: `Tags.0.Key longer than 128`.
    name: str
    parameters: dict
    expected: list | None


class Shapes:
    def __init__(self, service="dynamodb"):
        told = model(service)
        self.operations, self.shapes = told["operations"], told["shapes"]

    def input(self, operation):
        return self.operations[operation]["input"]["shape"]

    def base(self, name):
        """The minimal input of an operation, with what it needs beyond the model."""
        return self.minimal(name) | NEEDED.get(name, {})

    def minimal(self, name, above=()):
        """The smallest value of a shape that breaks none of its constraints."""
        shape = self.shapes[name]
        kind = shape["type"]
        if name == OPAQUE:
            return VALUE
        if name in TABLES:
            return "nowhere"
        if kind == "structure":
            required = [member for member in shape["members"] if member in shape.get("required", ())]
            return {member: self.minimal(shape["members"][member]["shape"], (*above, name)) for member in required}
        if kind == "list":
            return [self.minimal(shape["member"]["shape"], above) for _ in range(shape.get("min", 0) or 1)]
        if kind == "map":
            return {self.minimal(shape["key"]["shape"]): self.minimal(shape["value"]["shape"], above)}
        if kind == "string":
            return text(shape, max(shape.get("min", 1), 1))
        if kind == "boolean":
            return True
        if kind == "blob":
            return "YQ=="
        if kind == "timestamp":
            return 1_700_000_000
        return max(shape.get("min", 1), 1)

    def members(self, name, path=(), above=()):
        """(path, shape's name, whether it is required) of all that is in a shape; the path has names, `0` for elements and `*` for values."""
        shape = self.shapes[name]
        if name == OPAQUE or name in above:
            return
        if shape["type"] == "structure":
            for member, of in shape["members"].items():
                yield (*path, member), of["shape"], member in shape.get("required", ())
                yield from self.members(of["shape"], (*path, member), (*above, name))
        elif shape["type"] == "list":
            yield (*path, 0), shape["member"]["shape"], False
            yield from self.members(shape["member"]["shape"], (*path, 0), (*above, name))
        elif shape["type"] == "map":
            yield (*path, "*"), shape["value"]["shape"], False
            yield from self.members(shape["value"]["shape"], (*path, "*"), (*above, name))

    def around(self, root, path, value):
        """The minimal input with `value` at `path`, and the path with keys of maps as they are; `...` leaves the member out."""
        whole = copy.deepcopy(self.base(root))
        place, name, way = whole, root, []
        for step, following in zip(path, (*path[1:], None), strict=True):
            shape = self.shapes[name]
            if shape["type"] == "structure":
                key, name = step, shape["members"][step]["shape"]
            elif shape["type"] == "list":
                key, name = 0, shape["member"]["shape"]
            else:
                key, name = next(iter(place)), shape["value"]["shape"]
            way.append(KEY + key if shape["type"] == "map" else key)
            if following is None:
                if value is ...:
                    place.pop(key, None)
                else:
                    place[key] = value
            else:
                if isinstance(place, dict) and key not in place:
                    place[key] = self.minimal(name)
                place = place[key]
        return whole, way


def text(shape, length):
    """A text of a length that fits the shape's enum and pattern."""
    if "enum" in shape:
        return shape["enum"][0]
    if length == 0:
        return ""
    pattern = shape.get("pattern", "")
    if pattern.startswith("[0-9a-f]{8}-"):
        return "01234567-89ab-cdef-0123-456789abcdef"
    if pattern == "[0-9]{12}":
        return "123456789012"
    if "[0-9a-f]{16}" in pattern:
        return "0" * ((max(length, 16) + 15) // 16 * 16)
    if pattern.startswith("[,;"):
        return ","
    return "a" * max(length, 2 if "[a-z0-9A-Z]+[" in pattern or "{0,126}" in pattern else length)


def fits(shape, value):
    pattern = shape.get("pattern")
    return not pattern or re.fullmatch(pattern_of(pattern), value) is not None


def show(value):
    """A value as the service's messages show it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(show(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}={show(one)}" for name, one in value.items()) + "}"
    return str(value)


#: Marks keys of maps on the way to a member.
KEY = "\0"


def place(way):
    """`keySchema.1.member.attributeName`"""
    out = []
    for key in way:
        if isinstance(key, int):
            out.append(f"{key + 1}.member")
        elif key.startswith(KEY):
            out.append(f"{key.removeprefix(KEY)}.member")
        else:
            out.append(key[:1].lower() + key[1:])
    return ".".join(out)


def violation(way, value, constraint):
    shown = "null" if value is None else f"'{show(value)}'"
    message = f"1 validation error detected: Value {shown} at '{place(way)}' failed to satisfy constraint: {constraint}"
    return ["ValidationException", message]


WRONG = {
    "string": [(1, "NUMBER_VALUE cannot be converted to String"), (True, "TRUE_VALUE cannot be converted to String")],
    "integer": [("a", "STRING_VALUE cannot be converted to Integer"), (False, "FALSE_VALUE cannot be converted to Integer")],
    "long": [("a", "STRING_VALUE cannot be converted to Long"), (False, "FALSE_VALUE cannot be converted to Long")],
    "boolean": [("a", "Unexpected token received from parser"), (1, "NUMBER_VALUE cannot be converted to Boolean")],
    "double": [("a", "STRING_VALUE cannot be converted to Double")],
    "list": [("a", "Unexpected field type"), ({}, "Start of structure or map found where not expected")],
    "map": [("a", "Unexpected field type"), (1, "Unexpected field type")],
    "structure": [("a", "Unexpected field type"), (1, "Unexpected field type")],
    "blob": [(1, "only base-64-encoded strings are convertible to bytes")],
    "timestamp": [],
}
STRUCTURES = ("string", "integer", "long", "boolean", "double", "blob")


def wrong_types(shape, element):
    kind = shape["type"]
    for value, message in WRONG[kind]:
        if element and kind == "structure":
            message = "Unexpected value type in payload"
        elif element and kind in ("list", "map") and not isinstance(value, dict):
            continue
        yield value, message
    if kind in STRUCTURES:
        yield {}, "Start of structure or map found where not expected"


def bounds(shape):
    """(value, constraint or None, words) at each bound of a shape, below and above it."""
    low, high = shape.get("min"), shape.get("max")
    kind = shape["type"]
    if kind in NUMBERS:
        if low is not None:
            yield low, None, f"at {low}"
            yield low - 1, f"Member must have value greater than or equal to {low}", f"below {low}"
        if high is not None:
            yield high, None, f"at {high}"
            if high < NUMBERS[kind]:
                yield high + 1, f"Member must have value less than or equal to {high}", f"above {high}"
    elif kind == "string" and "enum" not in shape:
        if low is not None and low > 0:
            if fits(shape, text(shape, low)[:low]):
                yield text(shape, low)[:low], None, f"of length {low}"
            # An empty text breaks a pattern too, and then there are two violations.
            short = text(shape, low - 1)[: low - 1] if low > 1 else ""
            if fits(shape, short):
                yield short, f"Member must have length greater than or equal to {low}", f"shorter than {low}"
        if high is not None and high <= LENGTH_SENT_MAX:
            if fits(shape, text(shape, high)[:high]):
                yield text(shape, high)[:high], None, f"of length {high}"
            if fits(shape, text(shape, high + 1)) and len(text(shape, high + 1)) > high:
                yield text(shape, high + 1), f"Member must have length less than or equal to {high}", f"longer than {high}"


def names_of_tables(operation, at, required):
    """(parameters, expected, words) of names of tables that are missing, too short, too long or of other characters."""
    first = operation in FIRST
    length = ["ValidationException", "TableName must be at least 3 characters long and at most 255 characters long"]
    if required:
        whole, way = at(...)
        missing = ["ValidationException", "The parameter 'TableName' is required but was not present in the request"]
        yield whole, missing if first else violation(way, None, "Member must not be null"), "missing"
    for value, constraint in (
        ("aa", "Member must have length greater than or equal to 3"),
        ("a" * 256, "Member must have length less than or equal to 255"),
        ("$$$$", f"Member must satisfy regular expression pattern: {NAME}"),
        ("aaa", None),
        ("a" * 255, None),
    ):
        whole, way = at(value)
        expected = constraint and (length if first and "length" in constraint else violation(way, value, constraint))
        yield whole, expected, f"is {value[:4]} of length {len(value)}"


def cases(shapes, operation):
    root = shapes.input(operation)

    def case(name, parameters, expected=None):
        return Case(operation, name, parameters, expected)

    yield case("minimal", shapes.base(root))
    for path, shape_name, required in shapes.members(root):
        shape = shapes.shapes[shape_name]
        element = not isinstance(path[-1], str) or path[-1] == "*"
        told = ".".join(str(step) for step in path)

        def at(value, path=path):
            return shapes.around(root, path, value)

        if path[-1] == "TableName" and operation in BY_HAND | set(FIRST):
            for whole, expected, words in names_of_tables(operation, at, required):
                yield case(f"{told} {words}", whole, expected)
            for value, message in wrong_types(shape, element):
                yield case(f"{told} is {value!r}", at(value)[0], ["SerializationException", message])
            continue
        if required:
            whole, way = at(...)
            yield case(f"{told} missing", whole, violation(way, None, "Member must not be null"))
        if shape_name == OPAQUE:
            continue
        for value, message in wrong_types(shape, element):
            yield case(f"{told} is {value!r}", at(value)[0], ["SerializationException", message])
        for value, constraint, words in bounds(shape):
            whole, way = at(value)
            yield case(f"{told} {words}", whole, constraint and violation(way, value, constraint))
        if "enum" in shape:
            whole, way = at("XX")
            yield case(f"{told} not of the enum", whole, violation(way, "XX", f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"))
            for one in shape["enum"][1:]:
                yield case(f"{told} is {one}", at(one)[0])
        pattern = shape.get("pattern")
        if pattern and not re.fullmatch(pattern_of(pattern), "$$$$"):
            bad = "$" * min(max(shape.get("min", 4), 4), shape.get("max", 4))
            whole, way = at(bad)
            yield case(f"{told} not of the pattern", whole, violation(way, bad, f"Member must satisfy regular expression pattern: {pattern}"))
        if shape["type"] in ("list", "map"):
            if shape.get("min"):
                whole, way = at([] if shape["type"] == "list" else {})
                empty = [] if shape["type"] == "list" else {}
                yield case(f"{told} empty", whole, violation(way, empty, f"Member must have length greater than or equal to {shape['min']}"))
            if shape["type"] == "list" and shape.get("max", LENGTH_SENT_MAX) <= 1000:
                one = shapes.minimal(shape["member"]["shape"])
                for length in (shape["max"], shape["max"] + 1):
                    value = [one] * length
                    whole, way = at(value)
                    above = length > shape["max"]
                    expected = violation(way, value, f"Member must have length less than or equal to {shape['max']}") if above else None
                    yield case(f"{told} of {length} elements", whole, expected)


def pattern_of(pattern):
    """Java's pattern as Python has it."""
    return pattern.replace("\\p{Print}", "[\\x20-\\x7e]").replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF")
