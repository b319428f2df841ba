"""Every member of every operation, each of its constraints broken alone: the answer is what the service model says, in the service's words.

DynamoDB Local is no reference here: it answers broken shapes in words of its own. `api/shape_differences.json` has what differs from the
rule that the model alone would give: each entry names one rule, one request and one source. One that is not listed fails, and so does one
that is no longer seen.
"""

import json
import re
from pathlib import Path

import pytest
from api.model_requests import Shapes, cases
from harness.client import Bare, Refused

KNOWN = Path(__file__).parent / "api" / "shape_differences.json"
#: The service shows values whole; what is longer is cut here.
SHOWN_MAX = 2000


def answer(server, case):
    try:
        server.call(case.operation, **case.parameters)
    except Refused as refused:
        return [refused.name, refused.message]
    return ["ok", ""]


def plain(answer):
    """Without the order of an enum's values, which the model does not tell, and without long values."""
    if answer is None:
        return None
    name, message = answer

    def ordered(match):
        return "enum value set: [" + ", ".join(sorted(match[1].split(", "))) + "]"

    message = re.sub(r"enum value set: \[([^\]]*)\]", ordered, message)
    if len(message) > SHOWN_MAX:
        message = re.sub(r"Value '.*' at '", "Value … at '", message, flags=re.DOTALL)
    return [name, message]


def is_refusal_of_shape(answer):
    name, message = answer
    return name == "SerializationException" or "validation error" in message or name.startswith("Internal")


@pytest.mark.parametrize("service", ["dynamodb", "dynamodbstreams"])
def test_each_constraint_is_told_in_the_services_words(dev, say, service):
    shapes = Shapes(service)
    known = [entry for entry in json.loads(KNOWN.read_text()) if entry["service"] == service]
    known = {tuple(entry["request"]): entry for entry in known}
    wrong, seen, count = [], set(), 0
    server = Bare(dev().address, service=service)
    for operation in sorted(shapes.operations):
        for case in cases(shapes, operation):
            count += 1
            mine = plain(answer(server, case))
            request = (case.operation, case.name)
            expected = plain(case.expected)
            right = mine == expected if expected else not is_refusal_of_shape(mine)
            if request in known:
                seen.add(request)
                if right or known[request]["ours"] != mine:
                    wrong.append({"request": request, "ours": mine, "rule": expected, "was": known[request]["rule"]})
            elif not right:
                wrong.append({"request": request, "ours": mine, "rule": expected})
    server.close()
    gone = [entry["rule"] for request, entry in known.items() if request not in seen]
    report = "\n".join(json.dumps(one) for one in wrong[:20])
    assert not wrong, f"{len(wrong)} of {count} answers differ and are not listed:\n{report}"
    assert not gone, f"differences that are no longer seen: {gone}"
    say(f"{count} requests from the model of {service}, {len(known)} known differences")
