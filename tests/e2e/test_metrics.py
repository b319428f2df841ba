"""What the chart's alerts and dashboards ask of nodes is what nodes tell."""

import urllib.request

import pytest
from botocore.exceptions import ClientError
from harness.client import create_table
from harness.metrics import expressions, family, selectors, told

#: Told once it has happened: by the kind of trouble.
TROUBLE = {"ringkv_peer_dropped_messages", "ringkv_peer_refusals", "ringkv_peer_refused_by_peers", "ringkv_kv_errors"}
#: Of what is scraped, not of the metrics.
TARGETS = {"job", "namespace", "pod", "zone", "ringkv_cluster"}
#: How names of samples end, by the kind of metric.
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def scrape(rides, name):
    with urllib.request.urlopen(f"http://{rides.config(name)['listen']['metrics']}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_alerts_and_dashboards_ask_for_what_nodes_tell(cluster):
    rides = cluster()
    rides.start()
    client = rides.client(rides.names[0])
    create_table(client, "table")
    client.put_item(TableName="table", Item={"id": {"S": "a"}})
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.describe_table(TableName="none")
    kinds, labels = told("".join(scrape(rides, name) for name in rides.names))
    assert kinds["ringkv_dynamo_requests"] == "counter" and labels["ringkv_dynamo_errors"] == {"operation", "error"}
    asked = set()
    for where, expression in expressions():
        for metric, by in selectors(expression):
            name = family(metric)
            if not metric.startswith("ringkv_") or metric.startswith("ringkv_operator_") or name in TROUBLE:
                continue
            assert name in kinds, f"{where}: no node tells {metric}"
            assert metric in {name + ending for ending in ENDINGS[kinds[name]]}, f"{where}: {metric} is a {kinds[name]}"
            assert by <= labels[name] | TARGETS, f"{where}: {metric} has {labels[name]}"
            asked.add(name)
    assert len(asked) > 30, asked
