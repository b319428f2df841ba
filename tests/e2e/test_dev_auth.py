"""Signatures, when a key is configured: refused as the service refuses."""

import datetime

import botocore.auth
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from harness.client import create_table
from harness.process import Process
from harness.binaries import binary, run

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def node(dev):
    return dev("--access-key", KEY, "--secret-key", SECRET)


def refusal(client):
    with pytest.raises(ClientError) as caught:
        client.list_tables()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_the_right_key_passes(node):
    client = node.client(access_key=KEY, secret_key=SECRET)
    create_table(client, "table")
    client.put_item(TableName="table", Item={"id": {"S": "a b/c+ř"}})
    assert client.scan(TableName="table")["Count"] == 1


def test_a_wrong_secret(node):
    code, message, status = refusal(node.client(access_key=KEY, secret_key="wrong"))
    assert (code, status) == ("InvalidSignatureException", 400)
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_an_unknown_key(node):
    assert refusal(node.client(access_key="AKIDNOBODY", secret_key=SECRET)) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        400,
    )


def test_no_signature(node):
    assert refusal(node.client(signature_version=UNSIGNED)) == ("MissingAuthenticationTokenException", "Request is missing Authentication Token", 400)


@pytest.mark.parametrize(("minutes", "words"), [(-16, "Signature expired"), (16, "Signature not yet current")])
def test_a_clock_that_is_wrong_by_more_than_fifteen_minutes(node, monkeypatch, minutes, words):
    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) + datetime.timedelta(minutes=minutes))
    code, message, status = refusal(node.client(access_key=KEY, secret_key=SECRET))
    assert (code, status) == ("InvalidSignatureException", 400) and message.startswith(words), message


def test_a_clock_that_is_wrong_by_less_passes(node, monkeypatch):
    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *a, **k: now(*a, **k) - datetime.timedelta(minutes=14))
    node.client(access_key=KEY, secret_key=SECRET).list_tables()


def test_without_keys_only_this_machine_is_served():
    status, _, err = run(binary("kv-node"), "dev", "--in-memory", "--listen", "0.0.0.0:0")
    assert status == 78 and "--allow-unauthenticated" in err, (status, err)


def test_unless_someone_insists(tmp_path):
    node = Process((binary("kv-node"), "dev", "--in-memory", "--listen", "0.0.0.0:0", "--allow-unauthenticated"), tmp_path / "log")
    node.hears("listening on http://0.0.0.0:")
