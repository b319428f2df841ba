//! The rules of `promtool check metrics` and of Prometheus' "Metric and label naming", over an OpenMetrics text.

use std::collections::BTreeMap;

/// Units that are not base units, and their abbreviations.
const NOT_BASE: [&str; 20] = [
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "ms",
    "us",
    "ns",
    "kilobytes",
    "megabytes",
    "gigabytes",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "bits",
    "percent",
    "permille",
];

/// What is wrong, a sentence each.
pub fn lint(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut types = BTreeMap::new();
    let mut helps = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            if types.insert(name.to_owned(), kind.to_owned()).is_some() {
                problems.push(format!("{name} is there twice"));
            }
        } else if let Some((name, help)) =
            line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
        {
            helps.insert(name.to_owned(), help.to_owned());
        } else if let Some((name, unit)) =
            line.strip_prefix("# UNIT ").and_then(|l| l.split_once(' '))
        {
            if !name.ends_with(&format!("_{unit}")) {
                problems.push(format!("{name} does not end in its unit {unit}"));
            }
        } else if !line.starts_with('#') && !line.is_empty() {
            sample(line, &types, &mut problems);
        }
    }
    for (name, kind) in &types {
        problems.extend(name_problems(name, kind));
        if helps.get(name).is_none_or(|help| help.len() <= 10) {
            problems.push(format!("{name} has no help"));
        }
    }
    if types.len() < 20 {
        problems.push(format!("only {} metrics", types.len()));
    }
    problems
}

fn name_problems(name: &str, kind: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !name.starts_with("ringkv_") {
        problems.push(format!("{name} does not start with ringkv_"));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        || name.contains("__")
    {
        problems.push(format!("{name} is not snake case"));
    }
    if let Some(unit) = name.split('_').find(|part| NOT_BASE.contains(part)) {
        problems.push(format!("{name}: {unit} is no base unit"));
    }
    for suffix in ["_total", "_count", "_sum", "_bucket", "_info"] {
        // The encoder adds `_total` to samples; in the family's name it would be there twice.
        if name.ends_with(suffix) {
            problems.push(format!("{name} must not end in {suffix}"));
        }
    }
    if name.contains("duration") && !name.ends_with("_seconds") {
        problems.push(format!("{name} is a duration and not in seconds"));
    }
    if ["counter", "gauge", "histogram", "info"]
        .iter()
        .all(|known| known != &kind)
    {
        problems.push(format!("{name} is of type {kind}"));
    }
    problems
}

/// A sample belongs to a family, and a counter's ends in `_total`.
fn sample(line: &str, types: &BTreeMap<String, String>, problems: &mut Vec<String>) {
    let name = line.split(['{', ' ']).next().unwrap_or_default();
    let family = |suffix: &str| {
        name.strip_suffix(suffix)
            .and_then(|family| types.get(family))
    };
    let known = match types.get(name).map(String::as_str) {
        Some("gauge") => true,
        Some("counter") => {
            problems.push(format!("{name} is a counter and does not end in _total"));
            true
        }
        _ => {
            family("_total").is_some_and(|kind| kind == "counter")
                || family("_info").is_some_and(|kind| kind == "info")
                || ["_bucket", "_count", "_sum"]
                    .iter()
                    .any(|s| family(s).is_some_and(|kind| kind == "histogram"))
        }
    };
    if !known {
        problems.push(format!("{name} has no TYPE that fits it"));
    }
    let labels = line
        .split_once('{')
        .and_then(|(_, rest)| rest.rsplit_once('}'))
        .map_or("", |(labels, _)| labels);
    let pairs = labels.split(',').filter(|pair| !pair.is_empty());
    for value in pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value)
    {
        if value.len() > 80 {
            problems.push(format!(
                "{name} has a label of {} bytes: {value}",
                value.len()
            ));
        }
    }
}

#[test]
fn mistakes_are_found() {
    let found = |text: &str| lint(text).join("\n");
    let head =
        "# HELP ringkv_a_ms Something long enough.\n# TYPE ringkv_a_ms gauge\nringkv_a_ms 1\n";
    assert!(found(head).contains("ms is no base unit"));
    let counter = "# HELP ringkv_a Something long enough.\n# TYPE ringkv_a counter\nringkv_a 1\n";
    assert!(found(counter).contains("does not end in _total"));
    let nobody = "ringkv_stray 1\n";
    assert!(found(nobody).contains("no TYPE"));
    let unit = "# HELP ringkv_a Something long enough.\n# TYPE ringkv_a gauge\n# UNIT ringkv_a seconds\nringkv_a 1\n";
    assert!(found(unit).contains("does not end in its unit"));
    let twice = "# TYPE ringkv_a gauge\n# TYPE ringkv_a gauge\n";
    assert!(found(twice).contains("twice") && found(twice).contains("no help"));
}
