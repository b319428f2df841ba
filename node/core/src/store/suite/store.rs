//! What every [`Store`] must do.

use std::ops::Range;

use bytes::Bytes;

use super::{Choices, StoreBench};
use crate::store::{Batch, KeyRange, Keyspace, Op, Reader, Store};

/// Runs every check; the random one with each seed.
pub fn all<B: StoreBench>(bench: &mut B, seeds: Range<u64>) {
    order_and_bounds(bench);
    batches_apply_in_order(bench);
    snapshots_stand_still(bench);
    range_deletes(bench);
    a_flush_covers_all_keyspaces(bench);
    installed_content_replaces_and_lasts(bench);
    staged_content_is_unseen_and_dropped(bench);
    checkpoints_are_whole_stores(bench);
    sizes_and_samples(bench);
    for seed in seeds {
        random(bench, seed);
    }
}

pub fn range(keyspace: Keyspace, start: impl Into<Bytes>, end: impl Into<Bytes>) -> KeyRange {
    KeyRange {
        keyspace,
        start: start.into(),
        end: end.into(),
    }
}

pub fn everything(keyspace: Keyspace) -> KeyRange {
    range(keyspace, "", "")
}

/// The pairs of a range, in the order of the visits.
pub fn pairs(
    reader: &(impl Reader + ?Sized),
    range: &KeyRange,
    reverse: bool,
) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    reader
        .scan(range, reverse, &mut |key, value| {
            found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            true
        })
        .expect("scan");
    found
}

fn keys(reader: &(impl Reader + ?Sized), range: &KeyRange, reverse: bool) -> Vec<Bytes> {
    pairs(reader, range, reverse)
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

fn batch(pairs: &[(Keyspace, &'static str, &'static str)]) -> Batch {
    let mut batch = Batch::default();
    for (keyspace, key, value) in pairs {
        batch.put(*keyspace, *key, *value);
    }
    batch
}

fn get(reader: &(impl Reader + ?Sized), keyspace: Keyspace, key: &str) -> Option<Bytes> {
    reader.get(keyspace, key.as_bytes()).expect("get")
}

fn order_and_bounds<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    let mut batch = Batch::default();
    let all: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"ab", b"\xff\xff"];
    for key in all.iter().rev() {
        batch.put(Keyspace::Data, *key, *key);
        batch.put(Keyspace::Meta, *key, "other");
    }
    store.write(&batch).expect("write");
    let data = |start: &'static [u8], end: &'static [u8]| range(Keyspace::Data, start, end);
    for (range, expected) in [
        (data(b"", b""), &all[..]),
        (data(b"\0", b""), &all[1..]),
        (data(b"", b"a"), &all[..2]),
        (data(b"a", b"ab"), &all[2..4]),
        (data(b"a\0", b"b"), &all[3..5]),
        (data(b"aa", b"ab"), &[]),
        (data(b"b", b"a"), &[]),
        (data(b"a", b"a"), &[]),
    ] {
        assert_eq!(keys(&store, &range, false), expected, "{range:?}");
        let backwards: Vec<_> = expected.iter().rev().copied().collect();
        assert_eq!(keys(&store, &range, true), backwards, "{range:?} backwards");
    }
    let mut visited = 0;
    let two = &mut |_: &[u8], _: &[u8]| {
        visited += 1;
        visited < 2
    };
    store
        .scan(&everything(Keyspace::Data), false, two)
        .expect("scan");
    assert_eq!(visited, 2, "a scan ends when the visitor says so");
    assert_eq!(
        keys(&store, &everything(Keyspace::State), false),
        Vec::<Bytes>::new()
    );
    assert_eq!(
        store.get(Keyspace::Data, b"").expect("get"),
        Some(Bytes::new()),
        "an empty key with an empty value"
    );
    assert_eq!(store.get(Keyspace::Data, b"b").expect("get"), None);
}

fn batches_apply_in_order<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    let mut batch = batch(&[
        (Keyspace::Data, "a", "1"),
        (Keyspace::Data, "b", "1"),
        (Keyspace::Data, "a", "2"),
    ]);
    batch.delete(Keyspace::Data, "b");
    batch.delete_range(range(Keyspace::Data, "c", "e"));
    batch.put(Keyspace::Data, "d", "3");
    store.write(&batch).expect("write");
    store.write(&Batch::default()).expect("an empty batch");
    assert_eq!(
        pairs(&store, &everything(Keyspace::Data), false),
        [("a".into(), "2".into()), ("d".into(), Bytes::from("3"))]
    );
}

fn snapshots_stand_still<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    store
        .write(&batch(&[
            (Keyspace::Data, "a", "1"),
            (Keyspace::State, "s", "1"),
        ]))
        .expect("write");
    let snapshot = store.snapshot().expect("snapshot");
    let mut later = batch(&[(Keyspace::Data, "b", "2"), (Keyspace::State, "s", "2")]);
    later.delete_range(range(Keyspace::Data, "a", "b"));
    store.write(&later).expect("write");
    store.flush().expect("flush");
    assert_eq!(keys(&*snapshot, &everything(Keyspace::Data), false), ["a"]);
    assert_eq!(
        get(&*snapshot, Keyspace::State, "s").as_deref(),
        Some(&b"1"[..])
    );
    assert_eq!(keys(&store, &everything(Keyspace::Data), false), ["b"]);
    assert_eq!(
        get(&store, Keyspace::State, "s").as_deref(),
        Some(&b"2"[..])
    );
}

fn range_deletes<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    let fill = batch(&[
        (Keyspace::Data, "a", ""),
        (Keyspace::Data, "b", ""),
        (Keyspace::Data, "c", ""),
        (Keyspace::Meta, "b", ""),
    ]);
    let delete = |range: KeyRange| Batch {
        ops: vec![Op::DeleteRange(range)],
    };
    store.write(&fill).expect("write");
    store
        .write(&delete(range(Keyspace::Data, "b", "c")))
        .expect("delete");
    assert_eq!(keys(&store, &everything(Keyspace::Data), false), ["a", "c"]);
    assert_eq!(keys(&store, &everything(Keyspace::Meta), false), ["b"]);
    store
        .write(&delete(range(Keyspace::Data, "c", "b")))
        .expect("an empty range");
    store
        .write(&delete(range(Keyspace::Data, "b", "")))
        .expect("delete to the end");
    assert_eq!(keys(&store, &everything(Keyspace::Data), true), ["a"]);
    store.flush().expect("flush");
    let store = bench.crash(store, 0);
    assert_eq!(keys(&store, &everything(Keyspace::Data), true), ["a"]);
    store
        .write(&delete(everything(Keyspace::Data)))
        .expect("delete all");
    assert_eq!(
        keys(&store, &everything(Keyspace::Data), true),
        Vec::<Bytes>::new()
    );
}

fn a_flush_covers_all_keyspaces<B: StoreBench>(bench: &mut B) {
    let mut store = bench.fresh();
    for choice in 0..4 {
        for (i, keyspace) in Keyspace::ALL.into_iter().enumerate() {
            let mut batch = Batch::default();
            batch.put(keyspace, format!("k{choice}"), format!("{i}"));
            store.write(&batch).expect("write");
        }
        store.flush().expect("flush");
        store = bench.crash(store, choice);
        for keyspace in Keyspace::ALL {
            assert!(
                get(&store, keyspace, &format!("k{choice}")).is_some(),
                "flushed {keyspace:?} survives"
            );
        }
    }
}

fn installed_content_replaces_and_lasts<B: StoreBench>(bench: &mut B) {
    for choice in 0..4 {
        let mut store = bench.fresh();
        let old = [
            (Keyspace::Data, "a", "old"),
            (Keyspace::Data, "m", "old"),
            (Keyspace::Data, "z", "old"),
            (Keyspace::ChangeLog, "m", "old"),
        ];
        store.write(&batch(&old)).expect("write");
        if choice % 2 == 0 {
            store.flush().expect("flush");
        }
        let staged = |keyspace, key: &'static str| (keyspace, Bytes::from(key), Bytes::from("new"));
        store
            .stage(
                7,
                &[
                    staged(Keyspace::Data, "b"),
                    staged(Keyspace::ChangeLog, "n"),
                ],
            )
            .expect("stage");
        store
            .stage(
                7,
                &[staged(Keyspace::Data, "c"), staged(Keyspace::Data, "n")],
            )
            .expect("stage more");
        let clear = [
            range(Keyspace::Data, "b", "y"),
            range(Keyspace::ChangeLog, "m", "o"),
        ];
        store
            .install(7, &clear, &batch(&[(Keyspace::State, "applied", "9")]))
            .expect("install");
        for again in 0..2 {
            assert_eq!(
                keys(&store, &everything(Keyspace::Data), false),
                ["a", "b", "c", "n", "z"],
                "look {again}"
            );
            assert_eq!(keys(&store, &everything(Keyspace::ChangeLog), false), ["n"]);
            assert_eq!(
                get(&store, Keyspace::State, "applied").as_deref(),
                Some(&b"9"[..])
            );
            store = bench.crash(store, choice);
        }
        // What comes after an install hides it, over a crash too.
        store
            .write(&batch(&[(Keyspace::Data, "c", "newer")]))
            .expect("write");
        store.flush().expect("flush");
        store = bench.crash(store, choice);
        assert_eq!(
            get(&store, Keyspace::Data, "c").as_deref(),
            Some(&b"newer"[..])
        );
        // Nothing staged: the range is just cleared.
        store
            .install(8, &[range(Keyspace::Data, "b", "y")], &Batch::default())
            .expect("install nothing");
        store = bench.crash(store, choice);
        assert_eq!(keys(&store, &everything(Keyspace::Data), false), ["a", "z"]);
    }
}

fn staged_content_is_unseen_and_dropped<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    let pair = |key: &'static str| (Keyspace::Data, Bytes::from(key), Bytes::new());
    store.stage(1, &[pair("a")]).expect("stage");
    store.stage(2, &[pair("b")]).expect("stage");
    assert_eq!(
        keys(&store, &everything(Keyspace::Data), false),
        Vec::<Bytes>::new()
    );
    store.unstage(1).expect("unstage");
    store.unstage(1).expect("unstage twice");
    store
        .install(1, &[], &Batch::default())
        .expect("install what is gone");
    assert_eq!(
        keys(&store, &everything(Keyspace::Data), false),
        Vec::<Bytes>::new()
    );
    let store = bench.crash(store, 0);
    store
        .install(2, &[], &Batch::default())
        .expect("install what a restart dropped");
    assert_eq!(
        keys(&store, &everything(Keyspace::Data), false),
        Vec::<Bytes>::new()
    );
}

fn checkpoints_are_whole_stores<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    store
        .write(&batch(&[
            (Keyspace::Data, "flushed", ""),
            (Keyspace::Meta, "m", "1"),
        ]))
        .expect("write");
    store.flush().expect("flush");
    store
        .write(&batch(&[(Keyspace::Data, "unflushed", "")]))
        .expect("write");
    let dir = bench.unused_path(&store);
    store.checkpoint(&dir).expect("checkpoint");
    store
        .write(&batch(&[(Keyspace::Data, "later", "")]))
        .expect("write");
    assert!(
        store.checkpoint(&dir).is_err(),
        "a checkpoint never goes over another"
    );
    let copy = bench.open_checkpoint(&store, &dir);
    assert_eq!(
        keys(&copy, &everything(Keyspace::Data), false),
        ["flushed", "unflushed"]
    );
    assert_eq!(keys(&copy, &everything(Keyspace::Meta), false), ["m"]);
    copy.write(&batch(&[(Keyspace::Data, "apart", "")]))
        .expect("write");
    assert_eq!(get(&store, Keyspace::Data, "apart"), None);
}

fn sizes_and_samples<B: StoreBench>(bench: &mut B) {
    let store = bench.fresh();
    assert_eq!(
        store
            .split_sample(&everything(Keyspace::Data), 3)
            .expect("sample"),
        Vec::<Bytes>::new()
    );
    let mut choices = Choices::new(1);
    for chunk in 0..8 {
        let mut batch = Batch::default();
        for i in 0..250 {
            let value: Vec<u8> = (0..64).flat_map(|_| choices.draw().to_le_bytes()).collect();
            batch.put(Keyspace::Data, format!("{:05}", chunk * 250 + i), value);
        }
        store.write(&batch).expect("write");
        if chunk == 5 {
            store.flush().expect("flush");
        }
    }
    let data = |start: &'static str, end: &'static str| range(Keyspace::Data, start, end);
    let whole = store.approximate_bytes(&data("", "")).expect("size");
    assert!(
        (500_000..2_500_000).contains(&whole),
        "{whole} bytes for 1 MB"
    );
    assert!(
        store
            .approximate_bytes(&data("00500", "01000"))
            .expect("size")
            < whole / 2
    );
    assert_eq!(store.approximate_bytes(&data("x", "y")).expect("size"), 0);

    for (part, from, to) in [
        (data("", ""), 0, 2000),
        (data("00400", "00800"), 400, 800),
        (data("01600", ""), 1600, 2000),
    ] {
        let cuts = store.split_sample(&part, 3).expect("sample");
        assert!((1..=3).contains(&cuts.len()), "{cuts:?}");
        assert!(cuts.is_sorted_by(|a, b| a < b));
        let positions = cuts.iter().map(|cut| {
            std::str::from_utf8(cut)
                .expect("a key")
                .parse::<usize>()
                .expect("a key")
        });
        let edges: Vec<usize> = std::iter::once(from).chain(positions).chain([to]).collect();
        for piece in edges.windows(2) {
            assert!(
                piece[1] > piece[0] && piece[1] - piece[0] <= (to - from) * 3 / 4,
                "uneven: {edges:?}"
            );
        }
    }
    let space = store.space().expect("space");
    assert!(space.free <= space.total && space.total > 0);
}

/// The content of all keyspaces.
type Dump = Vec<Vec<(Bytes, Bytes)>>;

fn dump(store: &impl Store) -> Dump {
    Keyspace::ALL
        .into_iter()
        .map(|keyspace| pairs(store, &everything(keyspace), false))
        .collect()
}

/// Random operations with crashes. After a crash the store must be at one moment between the last finished flush and the crash.
pub fn random<B: StoreBench>(bench: &mut B, seed: u64) {
    let mut choices = Choices::new(seed);
    let mut store = bench.fresh();
    let mut model = Model::default();
    for step in 0..120 {
        match choices.below(24) {
            0 => {
                store.flush().expect("flush");
                model.flush();
            }
            1 => {
                store = bench.crash(store, choices.draw());
                let found = dump(&store);
                assert!(
                    model.crash(&found),
                    "seed {seed}, step {step}: no moment between flush and crash had {found:?}"
                );
            }
            2 => {
                let job = Job::draw(&mut choices);
                job.run(&store, step);
                model.install(&job);
            }
            _ => {
                let batch = draw_batch(&mut choices);
                store.write(&batch).expect("write");
                model.write(batch);
            }
        }
        if step % 16 == 0 {
            assert!(
                dump(&store) == model.dump(),
                "seed {seed}, step {step}: the content differs"
            );
        }
        let range = draw_range(&mut choices);
        let reverse = choices.one_in(2);
        assert_eq!(
            pairs(&store, &range, reverse),
            model.pairs(&range, reverse),
            "seed {seed}, step {step}, {range:?}"
        );
    }
}

/// What a store may hold: the content at the last flush, and the changes since.
#[derive(Clone, Debug, Default)]
pub struct Model {
    flushed: Content,
    tail: Vec<Batch>,
}

#[derive(Clone, Debug, Default)]
struct Content(std::collections::BTreeMap<(Keyspace, Bytes), Bytes>);

impl Content {
    fn apply(&mut self, batch: &Batch) {
        for op in batch.ops.clone() {
            match op {
                Op::Put {
                    keyspace,
                    key,
                    value,
                } => {
                    self.0.insert((keyspace, key), value);
                }
                Op::Delete { keyspace, key } => {
                    self.0.remove(&(keyspace, key));
                }
                Op::DeleteRange(range) => self
                    .0
                    .retain(|(keyspace, key), _| !holds(&range, *keyspace, key)),
            }
        }
    }

    fn dump(&self) -> Dump {
        let of = |keyspace| {
            self.0
                .iter()
                .filter(move |(key, _)| key.0 == keyspace)
                .map(|(key, value)| (key.1.clone(), value.clone()))
                .collect()
        };
        Keyspace::ALL.into_iter().map(of).collect()
    }
}

fn holds(range: &KeyRange, keyspace: Keyspace, key: &Bytes) -> bool {
    keyspace == range.keyspace && *key >= range.start && (range.end.is_empty() || *key < range.end)
}

impl Model {
    pub fn write(&mut self, batch: Batch) {
        self.tail.push(batch);
    }

    pub fn flush(&mut self) {
        for batch in self.tail.drain(..) {
            self.flushed.apply(&batch);
        }
    }

    pub fn install(&mut self, job: &Job) {
        self.write(job.as_batch());
        self.flush();
    }

    fn current(&self) -> Content {
        let mut content = self.flushed.clone();
        self.tail.iter().for_each(|batch| content.apply(batch));
        content
    }

    pub fn dump(&self) -> Dump {
        self.current().dump()
    }

    fn pairs(&self, range: &KeyRange, reverse: bool) -> Vec<(Bytes, Bytes)> {
        let content = self.current().0;
        let mut found: Vec<_> = content
            .into_iter()
            .filter(|((keyspace, key), _)| holds(range, *keyspace, key))
            .map(|((_, key), value)| (key, value))
            .collect();
        if reverse {
            found.reverse();
        }
        found
    }

    /// Whether `found` is the content at a moment since the last flush; if so the model goes on from there.
    pub fn crash(&mut self, found: &Dump) -> bool {
        for kept in 0..=self.tail.len() {
            if kept > 0 {
                self.flushed.apply(&self.tail[kept - 1]);
            }
            if self.flushed.dump() == *found {
                self.tail.clear();
                return true;
            }
        }
        false
    }
}

/// A random install.
#[derive(Clone, Debug)]
pub struct Job {
    pub staged: Vec<(Keyspace, Bytes, Bytes)>,
    pub clear: Vec<KeyRange>,
    pub batch: Batch,
}

impl Job {
    pub fn draw(choices: &mut Choices) -> Job {
        let range = range(draw_keyspace(choices), "k1", "k6");
        let mut staged = Vec::new();
        for i in 10..60 {
            if choices.one_in(4) {
                staged.push((
                    range.keyspace,
                    Bytes::from(format!("k{i}")),
                    draw_value(choices),
                ));
            }
        }
        let mut batch = Batch::default();
        batch.put(Keyspace::State, "applied", draw_value(choices));
        Job {
            staged,
            clear: vec![range],
            batch,
        }
    }

    pub fn run(&self, store: &impl Store, stage: u64) {
        for chunk in self.staged.chunks(5) {
            store.stage(stage, chunk).expect("stage");
        }
        store
            .install(stage, &self.clear, &self.batch)
            .expect("install");
    }

    /// The same change as one batch.
    pub fn as_batch(&self) -> Batch {
        let mut batch = Batch {
            ops: self.clear.iter().cloned().map(Op::DeleteRange).collect(),
        };
        for (keyspace, key, value) in self.staged.iter().cloned() {
            batch.put(keyspace, key, value);
        }
        batch.ops.extend_from_slice(&self.batch.ops);
        batch
    }
}

fn draw_keyspace(choices: &mut Choices) -> Keyspace {
    Keyspace::ALL[choices.below(4) as usize]
}

fn draw_key(choices: &mut Choices) -> Bytes {
    format!("k{}", choices.below(80)).into()
}

fn draw_value(choices: &mut Choices) -> Bytes {
    vec![choices.draw() as u8; choices.below(40) as usize].into()
}

fn draw_range(choices: &mut Choices) -> KeyRange {
    let end = if choices.one_in(6) {
        Bytes::new()
    } else {
        draw_key(choices)
    };
    KeyRange {
        keyspace: draw_keyspace(choices),
        start: draw_key(choices),
        end,
    }
}

pub fn draw_batch(choices: &mut Choices) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..1 + choices.below(6) {
        match choices.below(16) {
            0 => batch.delete_range(draw_range(choices)),
            1..=4 => batch.delete(draw_keyspace(choices), draw_key(choices)),
            _ => batch.put(
                draw_keyspace(choices),
                draw_key(choices),
                draw_value(choices),
            ),
        }
    }
    batch
}
