"""The chart, rendered: no cluster needed, only Helm (`kind/binaries helm`)."""

import json
import subprocess

import pytest
import yaml
from kube.kind import ROOT, run, versions

CHART = ROOT / "charts/ringkv"
HELM = f"{versions()['helm_bin']}/helm"


def template(*values, check=True):
    options = [option for value in values for option in ("--set", value)]
    return run(HELM, "template", "x", str(CHART), "-n", "there", *options, check=check)


def objects(*values):
    return [one for one in yaml.safe_load_all(template(*values)) if one]


def kinds(*values):
    return sorted(one["kind"] for one in objects(*values))


def rules_of(found):
    return [rule for one in found if one["kind"] in ("Role", "ClusterRole") for rule in one["rules"]]


def test_lint():
    assert "0 chart(s) failed" in run(HELM, "lint", "--strict", str(CHART))


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


@pytest.mark.parametrize("value", ["replicas=0", "watchNamespaces={Rides}", "image.pullPolicy=Sometimes", "nodeimage.tag=1", "logLevel=loud"])
def test_values_that_can_not_be_are_refused(value):
    options = ["template", "x", str(CHART), "--set", value]
    done = subprocess.run([HELM, *options], capture_output=True, text=True)
    assert done.returncode != 0 and value.split("=")[0].split(".")[0].lower() in done.stderr.lower(), done.stderr


def test_the_schema_names_every_value():
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema) - {"global"}
