//! Reads a `KvCluster` from YAML and tells for every mistake its path and line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::condition::Reason;
use super::rules::{self, Violation};
use super::{GROUP, KvCluster, KvClusterSpec, VERSION};

/// A mistake in a file, to be shown after the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1; `None` where it can't be told.
    pub line: Option<usize>,
    /// What is wrong, with the path of the field before it.
    pub message: String,
    /// Whether the spec is wrong by itself, or only the change to it.
    pub reason: Reason,
}

impl Mistake {
    /// A mistake in the field at `path`, found in `text`.
    #[must_use]
    pub fn at(text: &str, path: &str, message: impl Into<String>, reason: Reason) -> Self {
        locate(
            text,
            Violation {
                path: path.to_owned(),
                message: message.into(),
                reason,
            },
        )
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.message),
            None => write!(f, " {}", self.message),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Metadata,
    spec: KvClusterSpec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads and checks a file's text, as a change from `old` if there is one.
///
/// # Errors
/// Every rule that is broken; or, where the text can't be read as a `KvCluster` at all, the first reason for it.
pub fn parse(text: &str, old: Option<&KvCluster>) -> Result<KvCluster, Vec<Mistake>> {
    let manifest = read(text).map_err(|mistake| vec![mistake])?;
    let Manifest {
        _api_version: _,
        _kind: _,
        metadata,
        spec,
    } = manifest;
    let Metadata {
        name,
        namespace,
        labels,
        annotations,
    } = metadata;
    let mut broken: Vec<Violation> = rules::name_violation(&name).into_iter().collect();
    if let Some(old) = old
        .and_then(|old| old.metadata.name.as_deref())
        .filter(|&old| old != name)
    {
        let message = format!("can't change from {old:?} to {name:?}: a cluster keeps its name");
        broken.push(Violation {
            path: "metadata.name".into(),
            message,
            reason: Reason::ChangeNotSupported,
        });
    }
    broken.extend(rules::violations(&spec, old.map(|old| &old.spec)));
    if broken.is_empty() {
        let mut cluster = KvCluster::new(&name, spec);
        cluster.metadata.namespace = namespace;
        cluster.metadata.labels = labels;
        cluster.metadata.annotations = annotations;
        return Ok(cluster);
    }
    Err(broken
        .into_iter()
        .map(|violation| locate(text, violation))
        .collect())
}

fn read(text: &str) -> Result<Manifest, Mistake> {
    let header: Option<Header> = serde_yaml::from_str(text).map_err(|error| from_yaml(&error))?;
    let Some(header) = header else {
        return Err(invalid(
            None,
            "the file is empty; it needs apiVersion, kind, metadata and spec",
        ));
    };
    let expected = format!("{GROUP}/{VERSION}");
    check_header(text, "apiVersion", header.api_version, &expected)?;
    check_header(text, "kind", header.kind, "KvCluster")?;
    serde_yaml::from_str(text).map_err(|error| from_yaml(&error))
}

fn check_header(
    text: &str,
    field: &str,
    got: Option<String>,
    expected: &str,
) -> Result<(), Mistake> {
    match got {
        Some(got) if got == expected => Ok(()),
        Some(got) => Err(invalid(
            line_of(text, &[field]),
            format!("{field}: must be {expected}, got {got}"),
        )),
        None => Err(invalid(
            Some(1),
            format!("{field}: is missing, must be {expected}"),
        )),
    }
}

fn invalid(line: Option<usize>, message: impl Into<String>) -> Mistake {
    Mistake {
        line,
        message: message.into(),
        reason: Reason::InvalidSpec,
    }
}

fn locate(text: &str, violation: Violation) -> Mistake {
    let Violation {
        path,
        message,
        reason,
    } = violation;
    let segments: Vec<&str> = path.split('.').collect();
    // A field that is not there is missed where its parent stands.
    let line = (1..=segments.len())
        .rev()
        .find_map(|depth| line_of(text, &segments[..depth]));
    Mistake {
        line,
        message: format!("{path}: {message}"),
        reason,
    }
}

/// serde_yaml's words, without the position that stands before them.
fn from_yaml(error: &serde_yaml::Error) -> Mistake {
    let mut message = error.to_string();
    let line = error.location().map(|location| location.line());
    if let Some(location) = error.location() {
        let position = format!(" at line {} column {}", location.line(), location.column());
        message = message.replace(&position, "");
    }
    let plain = message
        .replace("expected i32", "expected a whole number")
        .replace("expected struct ", "expected ");
    invalid(line, plain)
}

/// The line of the value at a path, or of its key's mapping.
fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let error = Find { path }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .err()?;
    error
        .to_string()
        .contains(FOUND)
        .then(|| error.location().map(|location| location.line()))?
}

const FOUND: &str = "ringkv-field-found";

/// Walks down a path and fails at its end: the parser then says where it is.
#[derive(Clone, Copy)]
struct Find<'a> {
    path: &'a [&'a str],
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    // At the end of the path whatever is there is "not what was expected", and the error tells where.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() {
            FOUND
        } else {
            "a mapping"
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((&first, rest)) = self.path.split_first() else {
            return Err(serde::de::Error::custom(FOUND));
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == first {
                map.next_value_seed(Find { path: rest })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: rides\n";

    fn mistakes(text: &str) -> Vec<String> {
        parse(text, None)
            .expect_err("refused")
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_least_there_can_be_is_read() {
        let cluster = parse(&format!("{HEAD}spec: {{nodes: 3}}\n"), None).expect("valid");
        assert_eq!(
            (cluster.spec.nodes, cluster.spec.replication_factor()),
            (3, 3)
        );
        assert_eq!(cluster.metadata.name.as_deref(), Some("rides"));
    }

    #[test]
    fn every_mistake_has_its_line_and_path() {
        let cases = [
            (
                "spec:\n  nodes: 0\n",
                "6: spec.nodes: must be at least 1, got 0",
            ),
            (
                "spec:\n\n  nodes: 2000\n",
                "7: spec.nodes: must be at most 1000, got 2000",
            ),
            (
                "spec: {nodes: 0}\n",
                "5: spec.nodes: must be at least 1, got 0",
            ),
            (
                "spec:\n  nodes: three\n",
                "6: spec.nodes: invalid type: string \"three\", expected a whole number",
            ),
            (
                "spec:\n  nodes: 1\n  zones:\n    - a\n    - B\n",
                "8: spec.zones: must be DNS labels: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
            ),
            (
                "spec:\n  nodes: 2\n  replicationFactor: 3\n",
                "7: spec.replicationFactor: must be at most spec.nodes, since every copy needs a node of its own, \
                 got 3 copies for 2 nodes",
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(mistakes(&format!("{HEAD}{body}")), [expected], "{body}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_path_and_line() {
        let cases = [
            (
                "spec:\n  nodes: 3\n  node: 4\n",
                "7: spec: unknown field `node`",
            ),
            (
                "spec:\n  nodes: 3\n  auth:\n    mode: None\n    keys: 1\n",
                "9: spec.auth: unknown field `keys`",
            ),
            (
                "spec:\n  nodes: 3\nstatsu: 1\n",
                "7: unknown field `statsu`",
            ),
        ];
        for (body, expected) in cases {
            let found = mistakes(&format!("{HEAD}{body}"));
            assert!(
                found.len() == 1 && found[0].starts_with(expected),
                "{found:?} should start with {expected}"
            );
        }
    }

    #[test]
    fn a_wrong_head_is_told_first() {
        assert_eq!(
            mistakes("kind: KvCluster\n"),
            ["1: apiVersion: is missing, must be ringkv.dev/v1alpha1"]
        );
        assert_eq!(
            mistakes("apiVersion: ringkv.dev/v1alpha1\nkind: KvTable\n"),
            ["2: kind: must be KvCluster, got KvTable"]
        );
        assert_eq!(
            mistakes(""),
            [" the file is empty; it needs apiVersion, kind, metadata and spec"]
        );
        assert!(mistakes("a: [\n").len() == 1);
    }

    #[test]
    fn a_change_that_is_not_supported_says_so() {
        let old = parse(&format!("{HEAD}spec: {{nodes: 3}}\n"), None).expect("valid");
        let changed =
            parse(&format!("{HEAD}spec:\n  nodes: 1\n"), Some(&old)).expect_err("refused");
        assert_eq!(changed.len(), 1);
        assert_eq!(
            (changed[0].line, changed[0].reason),
            (Some(6), Reason::ChangeNotSupported)
        );
        let scaled = parse(&format!("{HEAD}spec:\n  nodes: 5\n"), Some(&old));
        assert_eq!(scaled.expect("valid").spec.nodes, 5);
        let same = format!("{HEAD}spec:\n  nodes: 3\n  replicationFactor: 3\n");
        assert!(
            parse(&same, Some(&old)).is_ok(),
            "the default spelt out is no change"
        );
        let renamed = same.replace("rides", "walks");
        assert_eq!(
            parse(&renamed, Some(&old)).expect_err("refused")[0].line,
            Some(4)
        );
    }
}
