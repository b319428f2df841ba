//! The workspace's walls: what depends on what, under which licences, and what shipped binaries must not have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Package id → ids of its normal and build dependencies.
fn edges(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .expect("a resolved graph");
    let mut edges = BTreeMap::new();
    for node in nodes {
        let shipped = node["deps"].as_array().expect("deps").iter().filter(|dep| {
            let kinds = dep["dep_kinds"].as_array().expect("dep_kinds");
            kinds.iter().any(|kind| kind["kind"] != "dev")
        });
        let ids = shipped
            .filter_map(|dep| dep["pkg"].as_str().map(str::to_owned))
            .collect();
        edges.insert(node["id"].as_str().expect("id").to_owned(), ids);
    }
    edges
}

fn names(metadata: &Value) -> BTreeMap<String, String> {
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    packages
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect()
}

/// Names of all that a workspace crate is built from, itself included.
fn closure(metadata: &Value, name: &str) -> BTreeSet<String> {
    let (edges, names) = (edges(metadata), names(metadata));
    let start = names
        .iter()
        .find(|(_, n)| *n == name)
        .map(|(id, _)| id.clone());
    let mut left = vec![start.unwrap_or_else(|| panic!("no crate {name}"))];
    let mut seen = BTreeSet::new();
    while let Some(id) = left.pop() {
        if seen.insert(id.clone()) {
            left.extend(edges.get(&id).cloned().unwrap_or_default());
        }
    }
    seen.iter().map(|id| names[id].clone()).collect()
}

#[test]
fn walls_between_crates_stand() {
    let metadata = metadata();
    let forbidden: &[(&str, &[&str])] = &[
        ("kv-ring", &["kv-core", "tokio", "tonic", "rocksdb", "kube"]),
        (
            "kv-model",
            &["kv-core", "tokio", "tonic", "rocksdb", "kube"],
        ),
        (
            "kv-core",
            &[
                "kv-proto",
                "tokio",
                "tonic",
                "hyper",
                "rocksdb",
                "raft-engine",
                "kube",
            ],
        ),
        (
            "kv-parsers",
            &[
                "kv-node",
                "librocksdb-sys",
                "rocksdb",
                "raft-engine",
                "kube",
            ],
        ),
        ("kv-node", &["kube", "kv-operator", "kv-tests"]),
        (
            "kv-operator",
            &[
                "rocksdb",
                "librocksdb-sys",
                "raft-engine",
                "kv-core",
                "kv-node",
            ],
        ),
    ];
    for (name, walls) in forbidden {
        let built_from = closure(&metadata, name);
        for wall in *walls {
            assert!(
                !built_from.contains(*wall),
                "{name} must not depend on {wall}"
            );
        }
    }
}

#[test]
fn licences_are_compatible() {
    let metadata = metadata();
    let mut shipped = closure(&metadata, "kv-node");
    shipped.extend(closure(&metadata, "kv-operator"));
    let known = [
        "MIT",
        "MIT-0",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "0BSD",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "CC0-1.0",
        "Unlicense",
        "BSL-1.0",
        "CDLA-Permissive-2.0",
    ];
    let allowed = |expression: &str| {
        // One side of each OR, all sides of each AND: coarse, and never too lenient.
        expression.replace('/', " OR ").split(" AND ").all(|all| {
            all.split(" OR ")
                .any(|one| known.contains(&one.trim().trim_matches(['(', ')'])))
        })
    };
    let mut bad = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        let licence = package["license"].as_str().unwrap_or("none");
        if shipped.contains(name) && !allowed(licence) {
            bad.push(format!("{name}: {licence}"));
        }
    }
    assert!(bad.is_empty(), "licences to look at: {bad:#?}");
}

#[test]
fn mutants_are_not_in_default_builds() {
    for manifest in [
        "node/Cargo.toml",
        "operator/Cargo.toml",
        "node/core/Cargo.toml",
    ] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        let asked = text
            .lines()
            .any(|line| line.contains("\"mutants\"") || line.contains("kv-core/mutants"));
        assert!(!asked, "{manifest} switches the mutants on");
    }
    assert_eq!(kv_core::mutants::COMPILED_IN, cfg!(feature = "mutants"));
}

#[test]
fn the_next_version_is_not_in_default_builds() {
    for manifest in ["node/Cargo.toml", "operator/Cargo.toml", "tests/Cargo.toml"] {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        let asked = text.lines().any(|line| {
            line.starts_with("default") || line.contains("\"next\"") && line.contains("kv-")
        });
        assert!(!asked, "{manifest} switches the next version on");
    }
    assert_eq!(kv_core::version::NEWEST, 1);
}

#[test]
fn documents_name_files_that_exist() {
    let documents = [
        "README.md",
        "node/DESIGN.md",
        "operator/DESIGN.md",
        "node/ring/DESIGN.md",
        "node/src/storage/DESIGN.md",
    ];
    let mut missing = Vec::new();
    for document in documents {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{document}: {e}"));
        let folder = path.parent().expect("a folder").to_path_buf();
        for name in text.split('`').skip(1).step_by(2) {
            let file = name.contains('/')
                && [".rs", ".md", ".proto", ".yaml"]
                    .iter()
                    .any(|end| name.ends_with(end));
            let plain = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if file && plain && !folder.join(name).exists() && !root().join(name).exists() {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
