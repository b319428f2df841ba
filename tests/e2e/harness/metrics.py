"""Names of metrics: those that rules and dashboards ask for, and those that there are."""

import json
import re

import promql_parser
import yaml

from .binaries import REPOSITORY

CHART = REPOSITORY / "charts/ringkv"
#: What Grafana fills in.
WINDOW = "$__rate_interval"


def alerts():
    """(group, rule) of every alert of the chart."""
    files = sorted((CHART / "files/rules").glob("*.yaml"))
    return [(group["name"], rule) for path in files for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def dashboards():
    """The dashboards of the chart by their files' names."""
    return {path.name: json.loads(path.read_text()) for path in sorted((CHART / "files/dashboards").glob("*.json"))}


def expressions():
    """(where, expression) of every alert and every panel."""
    found = [(rule["alert"], rule["expr"]) for _, rule in alerts()]
    for name, board in dashboards().items():
        for panel in board["panels"]:
            found += [(f"{name}: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
    return found


def parsed(expression):
    """The expression's tree; a ValueError if there is none."""
    return promql_parser.parse(expression.replace(WINDOW, "5m"))


def parts(tree):
    """What an expression is made of."""
    found = [getattr(tree, name) for name in ("lhs", "rhs", "expr", "vector_selector") if hasattr(tree, name)]
    return found + list(getattr(tree, "args", []))


def grouped(tree):
    """Labels that it is summed by, where it is a sum."""
    modifier = getattr(tree, "modifier", None) if isinstance(tree, promql_parser.AggregateExpr) else None
    return set(modifier.labels) if modifier else set()


def selectors(expression):
    """(metric, labels that it is asked and summed by) of every metric in it."""

    def walk(tree, by):
        if isinstance(tree, promql_parser.VectorSelector):
            return [(tree.name, by | {matcher.name for matcher in tree.matchers.matchers})]
        return [found for part in parts(tree) for found in walk(part, by | grouped(tree))]

    return walk(parsed(expression), set())


def groupings(expression):
    """All labels that something in it is summed by."""

    def walk(tree):
        return grouped(tree).union(*map(walk, parts(tree)))

    return walk(parsed(expression))


def family(metric):
    """A metric's name in HELP and TYPE lines: without what the kind of metric adds."""
    return re.sub(r"_(total|bucket|sum|count)$", "", metric)


def told(text):
    """Families by name, with their kinds, and the labels of samples by family, of an OpenMetrics text."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    labels = {}
    for name, inside in re.findall(r"^([a-z]\w*)(?:\{(.*)\})? \S+", text, re.M):
        labels.setdefault(family(name), set()).update(re.findall(r'(\w+)="', inside))
    return kinds, labels
