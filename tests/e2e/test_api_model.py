"""The generated tables of inputs are those of botocore's service model."""

import re

from api.inputs import generated
from harness.binaries import REPOSITORY

FILE = "node/src/dynamo/input/generated.rs"


def words(text):
    """Without what formatting changes."""
    return re.sub(r",(?=[\]\)}])", "", re.sub(r"\s+", "", text))


def test_inputs_follow_the_service_model():
    kept = (REPOSITORY / FILE).read_text()
    mend = f"python tests/e2e/api/inputs.py > {FILE} && cargo fmt"
    assert words(kept) == words(generated()), f"{FILE} is not what the service model says: {mend}"
