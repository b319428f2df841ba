"""The chart, rendered: no cluster needed, only Helm (`kind/binaries helm`)."""

import json
import re
import subprocess

import pytest
import yaml
from harness.metrics import alerts, dashboards, expressions, family, groupings, selectors
from kube.kind import ROOT, run, versions

CHART = ROOT / "charts/ringkv"
HELM = f"{versions()['helm_bin']}/helm"


VALUES = ROOT / "tests/kubernetes/values"
#: Labels that the PodMonitor and the ServiceMonitor give to all that is scraped.
TARGETS = {"job", "namespace", "pod", "zone", "ringkv_cluster"}
#: Those of the metrics' own.
OWN = {"operation", "error", "lane", "reason", "outcome", "verb", "kind", "le"}
#: Where metrics are registered, by the beginning of their names; the longest that fits.
SOURCES = {
    "ringkv_operator_": ["operator/src/metrics.rs"],
    "ringkv_peer_": ["node/src/transport/metrics.rs"],
    "ringkv_dynamo_": ["node/src/dynamo/metrics.rs"],
    "ringkv_kv_": ["node/src/dynamo/metrics.rs"],
    "ringkv_": ["node/src/telemetry/node.rs", "node/src/node.rs"],
}


def template(*values, check=True):
    """Plain manifests: a value is `key=value`, or a file below `values/`."""
    options = [option for value in values for option in (("--values", VALUES / value) if value.endswith(".yaml") else ("--set", value))]
    return run(HELM, "template", "x", str(CHART), "-n", "there", "--skip-tests", *options, check=check)


def objects(*values):
    return [one for one in yaml.safe_load_all(template(*values)) if one]


def kinds(*values):
    return sorted(one["kind"] for one in objects(*values))


def only(kind, *values):
    (found,) = [one for one in objects(*values) if one["kind"] == kind]
    return found


def rules_of(found):
    return [rule for one in found if one["kind"] in ("Role", "ClusterRole") for rule in one["rules"]]


@pytest.mark.parametrize("values", [None, "all.yaml", "minimal.yaml", "namespaced.yaml"])
def test_lint(values):
    options = ("--values", VALUES / values) if values else ()
    assert "0 chart(s) failed" in run(HELM, "lint", "--strict", str(CHART), *options)


def test_the_definitions_are_those_of_the_operator():
    for path in (ROOT / "crds").glob("*.yaml"):
        assert (CHART / "files" / path.name).read_text() == path.read_text(), "run make crds"
    versions_told = (CHART / "Chart.yaml").read_text()
    workspace = next(line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
    version = workspace.split('"')[1]
    assert f"version: {version}" in versions_told and f"appVersion: {version}" in versions_told


def test_as_it_comes_it_looks_after_all_namespaces():
    found = objects()
    assert kinds() == [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "CustomResourceDefinition",
        "Deployment",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ]
    deployment = next(one for one in found if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2 and pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    definitions = {one["metadata"]["name"]: one for one in found if one["kind"] == "CustomResourceDefinition"}
    assert set(definitions) == {"kvclusters.ringkv.dev", "kvtables.ringkv.dev"}
    for definition in definitions.values():
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_namespaces_are_looked_after_with_roles_alone():
    told = "watchNamespaces={rides,shops}"
    assert not [kind for kind in kinds(told) if kind.startswith("ClusterRole")]
    roles = [one["metadata"]["namespace"] for one in objects(told) if one["kind"] == "Role"]
    assert sorted(roles) == ["rides", "shops", "there"]
    deployment = next(one for one in objects(told) if one["kind"] == "Deployment")
    env = {one["name"]: one.get("value") for one in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["WATCH_NAMESPACES"] == "rides,shops"


def test_privileges_are_few():
    for values in ((), ("watchNamespaces={rides}",)):
        for rule in rules_of(objects(*values)):
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if "secrets" in rule["resources"]:
                assert not {"list", "watch"} & set(rule["verbs"]), "Secrets are read by name"
            if "kvclusters" in rule["resources"]:
                assert set(rule["verbs"]) == {"get", "list", "watch"}, "a spec is never written"
            if "kvtables" in rule["resources"]:
                assert set(rule["verbs"]) == {"get", "list", "watch", "patch"}, "the finalizer is patched"


WRONG = [
    "replicas=0",
    "watchNamespaces={Rides}",
    "image.pullPolicy=Sometimes",
    "nodeimage.tag=1",
    "logLevel=loud",
    "podMonitor.interval=soon",
    "serviceMonitor.enable=true",
    "prometheusRule.disabled={NodeDown}",
    "prometheusRule.labels.release=1",
    "dashboards.label.a=b",
    "dashboards.namespace=Grafana",
    "networkPolicy.clientsFrom={everyone}",
    "networkPolicy.clientsFrom[0].podselector.a=b",
    "networkPolicy.nodeNamespaces={a,a}",
    "test.seconds=0",
    "test.spec.nodes=0",
]


@pytest.mark.parametrize("value", WRONG)
def test_values_that_can_not_be_are_refused(value):
    options = ["template", "x", str(CHART), "--set", value]
    done = subprocess.run([HELM, *options], capture_output=True, text=True)
    assert done.returncode != 0 and value.split("=")[0].split(".")[0].lower() in done.stderr.lower(), done.stderr


def test_the_schema_names_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema) - {"global"}
    for name, value in values.items():
        known = schema[name].get("properties")
        assert known is None or set(value) == set(known), name


def test_what_others_must_be_there_for_is_off_as_it_comes():
    assert not {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy"} & set(kinds())


def test_all_that_there_is():
    found = kinds("all.yaml")
    for kind, count in {"ServiceMonitor": 1, "PodMonitor": 1, "PrometheusRule": 1, "ConfigMap": 2, "NetworkPolicy": 3, "Deployment": 1}.items():
        assert found.count(kind) == count, found
    for one in objects("all.yaml"):
        assert one["metadata"].get("namespace") or one["kind"] in ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"), one


def test_as_little_as_can_be():
    assert kinds("minimal.yaml") == ["ClusterRole", "ClusterRoleBinding", "Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"]
    assert "hook" not in run(HELM, "template", "x", str(CHART), "--values", VALUES / "minimal.yaml")


def test_monitors_give_the_labels_that_rules_ask_by():
    def labels(endpoint):
        return {one["targetLabel"]: one.get("replacement") for one in endpoint["relabelings"]}

    nodes, operator = only("PodMonitor", "all.yaml"), only("ServiceMonitor", "all.yaml")
    (endpoint,) = nodes["spec"]["podMetricsEndpoints"]
    # Prometheus adds namespace and pod itself.
    assert set(labels(endpoint)) | {"namespace", "pod"} == TARGETS
    assert labels(endpoint)["job"] == "ringkv-node" and nodes["spec"]["namespaceSelector"] == {"any": True}
    assert labels(operator["spec"]["endpoints"][0])["job"] == "ringkv-operator"
    jobs = set(re.findall(r'job="([^"]*)"', " ".join(expression for _, expression in expressions())))
    assert jobs == {"ringkv-node", "ringkv-operator"}
    assert only("PodMonitor", "namespaced.yaml")["spec"]["namespaceSelector"] == {"matchNames": ["rides", "shops"]}
    assert nodes["metadata"]["labels"]["release"] == "prometheus" and nodes["metadata"]["labels"]["app.kubernetes.io/name"] == "ringkv-operator"


def test_names_and_ports_are_those_of_the_operator():
    source = (ROOT / "operator/src/platform/kubernetes/names.rs").read_text()
    ports = {name: int(number) for name, number in re.findall(r"pub const (\w+): i32 = (\d+);", source)}
    policies = [one for one in objects("all.yaml") if one["kind"] == "NetworkPolicy"]
    assert [one["metadata"]["namespace"] for one in policies] == ["there", "rides", "shops"]
    operator, *nodes = policies
    for policy in nodes:
        peers, clients, metrics = policy["spec"]["ingress"]
        assert [one["port"] for one in peers["ports"]] == [ports["PEER"]]
        assert [one["port"] for one in clients["ports"]] == [ports["DYNAMO"], ports["KV"]]
        assert [one["port"] for one in metrics["ports"]] == [ports["METRICS"]]
        assert clients["from"] == [{"podSelector": {"matchLabels": {"app": "shop"}}}]
        assert metrics["from"] == operator["spec"]["ingress"][0]["from"]
        own, operators = peers["from"]
        assert own["podSelector"] == policy["spec"]["podSelector"]
        assert operators["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "there"}
        assert operators["podSelector"] == operator["spec"]["podSelector"]
        assert policy["spec"]["podSelector"]["matchLabels"] == only("PodMonitor", "all.yaml")["spec"]["selector"]["matchLabels"]
    for label, value in nodes[0]["spec"]["podSelector"]["matchLabels"].items():
        assert f'"{label}"' in source, label
        assert value == "node" or f'"{value}"' in source, value
    pod = only("Deployment", "all.yaml")["spec"]["template"]["metadata"]["labels"]
    assert set(operator["spec"]["podSelector"]["matchLabels"].items()) <= set(pod.items())


def test_policies_let_all_in_that_nobody_named():
    policies = [one for one in objects("networkPolicy.enabled=true", "watchNamespaces={rides}") if one["kind"] == "NetworkPolicy"]
    assert [one["metadata"]["namespace"] for one in policies] == ["there", "rides"]
    peers, clients, metrics = policies[1]["spec"]["ingress"]
    assert "from" in peers and "from" not in clients and "from" not in metrics
    assert [one["kind"] for one in objects("networkPolicy.enabled=true")].count("NetworkPolicy") == 1, "nobody says where nodes are"


def hooks(*values):
    options = [option for value in values for option in ("--set", value)]
    told = run(HELM, "template", "x", str(CHART), "-n", "there", *options)
    return {one["kind"]: one for one in yaml.safe_load_all(told) if one and "helm.sh/hook" in one["metadata"].get("annotations", {})}


def test_the_test_of_a_release():
    found = hooks()
    assert set(found) == {"KvCluster", "ServiceAccount", "Role", "RoleBinding", "Pod"}
    cluster, pod = found["KvCluster"], found["Pod"]
    assert cluster["spec"] == {"nodes": 1, "storage": {"size": "1Gi", "policy": "Delete"}}
    assert pod["spec"]["containers"][0]["image"] == only("Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
    arguments = pod["spec"]["containers"][0]["args"]
    assert arguments[:3] == ["kubectl", "top", "nodes"] and cluster["metadata"]["name"] in arguments
    for one in found.values():
        assert one["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert one["metadata"]["labels"]["app.kubernetes.io/name"] != "ringkv-operator", "a Service selects by that"
    for rule in found["Role"]["rules"]:
        assert "secrets" not in rule["resources"] or rule["resourceNames"] == [cluster["metadata"]["name"] + "-identity"]
    elsewhere = hooks("watchNamespaces={rides,shops}")
    assert {kind: one["metadata"]["namespace"] for kind, one in elsewhere.items()} == {
        "KvCluster": "rides",
        "Role": "rides",
        "RoleBinding": "rides",
        "ServiceAccount": "there",
        "Pod": "there",
    }
    long = run(HELM, "template", "a" * 53, str(CHART))
    assert all(len(one["metadata"]["name"]) <= 40 for one in yaml.safe_load_all(long) if one and one["kind"] == "KvCluster")
    assert not hooks("test.enabled=false")


def test_rules_are_those_of_the_files():
    def told(*values):
        return [(group["name"], rule) for group in only("PrometheusRule", *values)["spec"]["groups"] for rule in group["rules"]]

    assert told("all.yaml") == [(group, rule) for group, rule in alerts() if rule["alert"] != "RingkvDiskFills"], "all.yaml leaves one out"
    assert told("prometheusRule.enabled=true") == alerts()


@pytest.mark.parametrize("rule", [rule for _, rule in alerts()], ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Ringkv[A-Z][A-Za-z]+", rule["alert"]) and re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    told = rule["annotations"]
    assert set(told) - {"condition"} == {"summary", "description", "runbook"}
    assert all(isinstance(text, str) and text for text in told.values()), "annotations are texts"
    path, _, anchor = told["runbook"].partition("#")
    design = (ROOT / path).read_text()
    assert anchor in [line.strip("# \n").lower().replace(" ", "-") for line in design.splitlines() if line.startswith("## ")]
    if anchor == "conditions":
        assert told["condition"] in conditions(design)
    else:
        assert f"`{rule['alert']}`" in design
    known = groupings(rule["expr"]) or TARGETS
    used = set(re.findall(r"\$labels\.(\w+)", told["summary"] + told["description"]))
    assert used <= known, f"{used - known} is no label of what the expression gives"


def conditions(design):
    """"Type Reason" of every row of the table."""
    found, condition = set(), None
    for row in re.findall(r"^\|([^|]*)\| `(\w+)` \|", design, re.M):
        name = re.sub(r"\*\*.*?\*\*", "", row[0]).strip()
        condition = name.split()[0] if name else condition
        found.add(f"{condition} {row[1]}")
    return found


def test_names_are_unique():
    names = [rule["alert"] for _, rule in alerts()]
    assert len(names) == len(set(names))
    boards = dashboards()
    assert set(boards) == {"nodes.json", "operator.json"}
    for key in ("uid", "title"):
        assert len({board[key] for board in boards.values()}) == len(boards)


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_a_dashboard_is_whole(name):
    board = dashboards()[name]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert "datasource" in variables
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, f"{panel['title']} lies on another"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["targets"] and panel["description"].endswith("."), panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            asked = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert asked <= variables, f"{panel['title']}: {asked - variables} is no variable"
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert shown <= (groupings(target["expr"]) or TARGETS), f"{panel['title']}: {shown}"


def test_dashboards_are_found_by_the_sidecar():
    maps = [one for one in objects("all.yaml") if one["kind"] == "ConfigMap"]
    told = {file: json.loads(text) for one in maps for file, text in one["data"].items()}
    assert told == {f"ringkv-{name}": board for name, board in dashboards().items()}
    for one in maps:
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1" and one["metadata"]["namespace"] == "grafana"
        assert len(json.dumps(one)) < 1 << 20


@pytest.mark.parametrize("where, expression", expressions(), ids=lambda text: text[:60])
def test_expressions_ask_for_what_there_is(where, expression):
    """By the source; of a node that runs, tests/e2e/test_metrics.py asks itself."""
    asked = selectors(expression)
    assert asked, where
    for metric, labels in asked:
        assert labels <= TARGETS | OWN, f"{where}: {metric} is asked by {labels - TARGETS - OWN}"
        assert metric == "up" or is_registered(metric), f"{where}: nothing registers {metric}"


def is_registered(metric):
    start = max((start for start in SOURCES if metric.startswith(start)), key=len, default=None)
    if start is None:
        return False
    name = family(metric).removeprefix(start)
    # The encoder adds the unit where it is told apart.
    names = {name, re.sub(r"_(seconds|bytes)$", "", name)}
    source = "".join((ROOT / path).read_text() for path in SOURCES[start])
    return any(re.search(rf'"{name}",\s*"', source) for name in names)


def test_what_nobody_registers_is_found():
    assert is_registered("ringkv_disk_free_bytes") and is_registered("ringkv_operator_reconcile_seconds_bucket")
    for wrong in ("ringkv_disk_fre_bytes", "ringkv_operator_queue_depth", "ringkv_dynamo_dropped_messages_total", "node_load1"):
        assert not is_registered(wrong)
