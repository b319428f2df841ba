"""Whatever a test starts is stopped at its end, however it ends; when it fails, the last words of every process are in the report."""

import os
import random

import pytest

from harness.cluster import Cluster
from harness.dev import Dev
from harness.process import STARTED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.when in ("setup", "call"):
        for thing in list(STARTED):
            for name, text in thing.logs().items():
                if text:
                    report.sections.append((f"log of {name}", text))
    return report


@pytest.fixture(autouse=True)
def everything_ends():
    """What was there before belongs to a fixture of wider scope, which ends it."""
    before = list(STARTED)
    yield
    for thing in reversed([thing for thing in STARTED if thing not in before]):
        thing.close()


@pytest.fixture
def cluster(tmp_path):
    """Makes clusters: cluster(nodes=3, …); not started yet."""
    return lambda **options: Cluster(tmp_path, **options)


@pytest.fixture
def dev(tmp_path):
    """Starts `kv-node dev` with more arguments; serves when it returns."""
    return lambda *arguments, **options: Dev(tmp_path, *arguments, **options)


@pytest.fixture
def seed():
    """E2E_SEED repeats the choices of a run; when processes meet them is not repeated."""
    return int(os.environ.get("E2E_SEED") or random.randrange(1_000_000))


@pytest.fixture
def root():
    """For tests that mount file systems, make namespaces or change users."""
    assert os.geteuid() == 0, "this test mounts file systems or makes network namespaces: run the tests as root"


@pytest.fixture
def say(request):
    """Notes a figure that belongs to the result; all of them are printed at the end, whichever process ran the test."""
    return lambda text: request.node.user_properties.append(("said", text))


def pytest_terminal_summary(terminalreporter):
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    said = [(r.nodeid, text) for r in reports if r.when == "call" for name, text in r.user_properties if name == "said"]
    if said:
        terminalreporter.section("figures")
    for test, text in said:
        terminalreporter.line(f"{test.rpartition('::')[2]}: {text}")
