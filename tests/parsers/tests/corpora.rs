//! Every file of the corpora, and thousands of inputs that seeded accidents make of them, through the bodies of the fuzz
//! targets: nothing panics, no law is broken, and an input takes neither long nor much memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kv_parsers::{TARGETS, Target};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Inputs made for each target.
const ACCIDENTS: usize = 4000;
/// The longest that is made, bytes.
const LEN_MAX: usize = 16 * 1024;
/// Processor time that one input may take; ordinary ones take microseconds.
const CPU_MAX: Duration = Duration::from_secs(2);
/// Address space that the process may have: an allocation by what an input claims ends it.
const MEMORY_MAX: u64 = 2 << 30;
/// All corpora together, bytes.
const CORPORA_MAX: u64 = 300 * 1024;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// Files by name, so that each run makes the same inputs.
fn corpus(target: &Target) -> BTreeMap<String, Vec<u8>> {
    let folder = corpora().join(target.name);
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    listed
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (name, bytes)
        })
        .collect()
}

fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        spent.tv_sec.unsigned_abs(),
        u32::try_from(spent.tv_nsec).unwrap_or(0),
    )
}

fn run(target: &Target, input: &[u8], from: &str) {
    let begin = cpu();
    let caught = std::panic::catch_unwind(|| (target.run)(input));
    let took = cpu() - begin;
    assert!(
        caught.is_ok(),
        "{}: an input made of {from} panics: {}",
        target.name,
        shown(input)
    );
    assert!(
        took < CPU_MAX,
        "{}: an input made of {from} takes {took:?}: {}",
        target.name,
        shown(input)
    );
}

fn shown(input: &[u8]) -> String {
    input.escape_ascii().to_string()
}

/// One accident: a bit, a byte, a cut, a piece twice, a piece of another input.
fn damage(input: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    let at = |len: usize, random: &mut ChaCha8Rng| random.random_range(0..=len);
    match random.random_range(0..7) {
        0 if !input.is_empty() => {
            let place = random.random_range(0..input.len());
            input[place] ^= 1 << random.random_range(0..8);
        }
        1 if !input.is_empty() => {
            let place = random.random_range(0..input.len());
            input[place] = *[0, 1, 0x7f, 0x80, 0xff, b'"', b'(', b'{', b' ']
                .get(random.random_range(0..9))
                .unwrap_or(&0);
        }
        2 => input.truncate(at(input.len(), random)),
        3 => drop(input.drain(..at(input.len(), random))),
        4 => {
            let (a, b) = (at(input.len(), random), at(input.len(), random));
            let piece = input[a.min(b)..a.max(b)].to_vec();
            let place = at(input.len(), random);
            input.splice(place..place, piece);
        }
        5 => {
            let (a, b) = (at(other.len(), random), at(other.len(), random));
            let place = at(input.len(), random);
            let end = at(input.len(), random).max(place);
            input.splice(place..end, other[a.min(b)..a.max(b)].to_vec());
        }
        _ => {
            let piece: Vec<u8> = (0..random.random_range(1..9))
                .map(|_| random.random())
                .collect();
            let place = at(input.len(), random);
            input.splice(place..place, piece);
        }
    }
    input.truncate(LEN_MAX);
}

#[test]
fn corpora_and_accidents_of_them_do_no_harm() {
    let before = getrlimit(Resource::As);
    let bound = Rlimit {
        current: Some(MEMORY_MAX),
        ..before
    };
    setrlimit(Resource::As, bound).expect("a lower bound is allowed");
    for (number, target) in TARGETS.iter().enumerate() {
        let files = corpus(target);
        assert!(
            files.len() >= 3,
            "{}: a corpus of {}",
            target.name,
            files.len()
        );
        for (name, bytes) in &files {
            run(target, bytes, name);
        }
        let files: Vec<(&String, &Vec<u8>)> = files.iter().collect();
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        for count in 0..ACCIDENTS {
            let (name, bytes) = files[count % files.len()];
            let mut input = bytes.clone();
            for _ in 0..random.random_range(1..5) {
                let other = files[random.random_range(0..files.len())].1;
                damage(&mut input, other, &mut random);
            }
            run(target, &input, name);
        }
    }
}

#[test]
fn each_target_has_a_corpus_and_a_fuzz_target_and_they_are_small() {
    let mut bytes = 0;
    for folder in std::fs::read_dir(corpora()).expect("corpora") {
        let folder = folder.expect("a folder");
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(
            TARGETS.iter().any(|target| target.name == name),
            "no target {name}"
        );
        for file in std::fs::read_dir(folder.path()).expect("a corpus") {
            bytes += file.and_then(|file| file.metadata()).expect("a file").len();
        }
    }
    assert!(bytes < CORPORA_MAX, "the corpora have {bytes} bytes");
    let manifest = corpora().join("../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("a manifest");
    for target in TARGETS {
        let path = format!("path = \"fuzz_targets/{}.rs\"", target.name);
        assert!(
            manifest.contains(&path),
            "{} has no fuzz target",
            target.name
        );
    }
}
