"""One kind cluster for all tests, the operator in it, and a namespace a test. What is there when a test fails lands in one folder."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kube.cluster import KvCluster
from kube.kind import Kind
from kube.operator import Operator, images

#: Leaves the cluster up, and takes one over that is up: for who writes tests.
KEEP = os.environ.get("RINGKV_KIND_KEEP") == "1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringkv"
IMAGES = os.environ.get("RINGKV_IMAGES") or str(Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "images")
FAILURES = Path(os.environ.get("RINGKV_KIND_FAILURES") or CACHE / "kubernetes-failures")
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def kind(tmp_path_factory):
    missing = Kind.missing()
    assert not missing, missing
    kind = Kind(tmp_path_factory.mktemp("kind"))
    archives = images(IMAGES)
    for archive in archives:
        assert os.path.exists(archive), f"{archive} is missing: scripts/images --next, after scripts/next"
    if kind.exists() and not KEEP:
        kind.delete()
    try:
        if kind.exists():
            kind.attach()
        else:
            kind.create()
        for archive in archives:
            kind.load(archive)
        # Operators of the run before are of older images.
        kind.kubectl("delete", "pods", "-n", "ringkv-system", "--all", "--ignore-not-found", check=False)
        yield kind
    finally:
        if not KEEP:
            kind.delete()


@pytest.fixture(scope="session")
def bare_operator(kind):
    """Not installed yet."""
    operator = Operator(kind)
    yield operator
    if not KEEP:
        operator.uninstall()


@pytest.fixture
def operator(bare_operator):
    """Installed by Helm, as it comes."""
    bare_operator.install()
    bare_operator.wait_up()
    return bare_operator


@pytest.fixture
def namespace(kind, request):
    name = f"test-{os.getpid()}-{next(NUMBERS)}"
    kind.kubectl("create", "namespace", name)
    request.node.namespace = name
    yield name
    # Tables of clusters that are gone wait for nobody.
    kind.kubectl("delete", "kvcluster", "--all", "-n", name, check=False)
    kind.kubectl("delete", "kvtable", "--all", "-n", name, "--wait=false", check=False)
    kind.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def cluster(kind, namespace):
    """Makes clusters: cluster(nodes=3, …); not applied yet."""
    return lambda **options: KvCluster(kind, namespace, **options)


@pytest.fixture
def say(request):
    """Notes a figure that belongs to the result; all of them are printed at the end."""
    return lambda text: request.node.user_properties.append(("said", text))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.when in ("setup", "call") and "kind" in item.funcargs:
        folder = FAILURES / item.name
        try:
            collect(item.funcargs["kind"], getattr(item, "namespace", None), folder)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            # What failed first must not be hidden by it.
            report.sections.append(("what was there is not known", str(error)))
        else:
            report.sections.append(("what was there", str(folder)))
    return report


def collect(kind, namespace, folder):
    """Events, statuses and logs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    told = {"operator-" + name: text for name, text in Operator(kind).logs().items()}
    told["operators"] = kind.kubectl("get", "pods,lease", "-n", "ringkv-system", "-o", "wide", check=False)
    told["nodes"] = kind.kubectl("get", "nodes", "-o", "wide", check=False)
    if namespace:
        told["objects"] = kind.kubectl("get", "kvcluster,sts,pods,pvc,pdb,svc", "-n", namespace, "-o", "wide", check=False)
        told["kvtables"] = kind.kubectl("get", "kvtable", "-n", namespace, "-o", "yaml", check=False)
        told["kvclusters"] = kind.kubectl("get", "kvcluster", "-n", namespace, "-o", "yaml", check=False)
        told["pods"] = kind.kubectl("describe", "pods", "-n", namespace, check=False)
        told["events"] = kind.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp", check=False)
        for pod in json.loads(kind.kubectl("get", "pods", "-n", namespace, "-o", "json", check=False) or '{"items": []}')["items"]:
            name = pod["metadata"]["name"]
            told[name] = kind.kubectl("logs", "-n", namespace, name, "--tail=2000", check=False)
            told[name + "-before"] = kind.kubectl("logs", "-n", namespace, name, "--previous", "--tail=2000", check=False)
    for name, text in told.items():
        if text.strip():
            (folder / f"{name}.txt").write_text(text)


def pytest_terminal_summary(terminalreporter):
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    said = [(r.nodeid, text) for r in reports if r.when == "call" for name, text in r.user_properties if name == "said"]
    if said:
        terminalreporter.section("figures")
    for test, text in said:
        terminalreporter.line(f"{test.rpartition('::')[2]}: {text}")
