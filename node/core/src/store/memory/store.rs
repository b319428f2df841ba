//! [`MemoryStore`]: a store that forgets at a crash what an engine without write-ahead log would forget.
//!
//! Invariant: `current` is `durable` with the batches of `tail` applied in order. A flush folds the tail in; a crash cuts it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Fault;
use super::content::Content;
use crate::store::{
    Batch, Error, KeyRange, Keyspace, Reader, Result, Snapshot, Space, Store, Visitor,
};

/// Batches that may wait for a flush. The oldest become durable beyond it, as an engine flushes a full memtable by itself.
const UNFLUSHED_BATCHES_MAX: usize = 4096;

/// A store in memory. Clones share the content, as two handles of one disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    current: Content,
    durable: Content,
    tail: VecDeque<Batch>,
    /// Not durable; a crash drops it.
    staged: BTreeMap<u64, Vec<(Keyspace, Bytes, Bytes)>>,
    checkpoints: BTreeMap<PathBuf, Content>,
    fault: Fault,
    corrupt: Vec<KeyRange>,
    space: Option<Space>,
}

impl MemoryStore {
    /// Loses what a power cut would lose: the content goes back to the last finished flush, or to one of the later
    /// write boundaries (the engine may have flushed by itself): which one, `choice` modulo their number says.
    /// Staged content goes, installed content stays.
    pub fn crash(&self, choice: u64) {
        let mut disk = self.disk.lock();
        let boundaries = disk.tail.len() as u64 + 1;
        disk.fold((choice % boundaries) as usize);
        disk.tail.clear();
        disk.staged.clear();
        disk.current = disk.durable.clone();
    }

    pub fn set_fault(&self, fault: Fault) {
        self.disk.lock().fault = fault;
    }

    /// What [`Store::space`] answers from now on; by default a terabyte, all of it free.
    pub fn set_space(&self, space: Space) {
        self.disk.lock().space = Some(space);
    }

    /// Reads that touch `range` find a bad block from now on, until an install clears it.
    pub fn corrupt(&self, range: KeyRange) {
        self.disk.lock().corrupt.push(range);
    }

    /// The copy that a [`checkpoint`](Store::checkpoint) made at `dir`.
    pub fn open_checkpoint(&self, dir: &Path) -> Option<MemoryStore> {
        let content = self.disk.lock().checkpoints.get(dir)?.clone();
        let disk = Disk {
            current: content.clone(),
            durable: content,
            ..Disk::default()
        };
        Some(MemoryStore {
            disk: Arc::new(Mutex::new(disk)),
        })
    }

    /// Batches that a crash may take.
    pub fn unflushed(&self) -> usize {
        self.disk.lock().tail.len()
    }

    fn view(&self) -> Result<View> {
        let disk = self.disk.lock();
        disk.fault.on_read()?;
        Ok(View {
            content: disk.current.clone(),
            corrupt: disk.corrupt.clone(),
        })
    }
}

impl Disk {
    /// Makes the oldest `count` batches of the tail durable.
    fn fold(&mut self, count: usize) {
        for batch in self.tail.drain(..count) {
            self.durable.apply(&batch);
        }
    }

    fn write(&mut self, batch: &Batch) {
        self.current.apply(batch);
        self.tail.push_back(batch.clone());
        if self.tail.len() > UNFLUSHED_BATCHES_MAX {
            self.fold(UNFLUSHED_BATCHES_MAX / 2);
        }
    }
}

impl Reader for MemoryStore {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let disk = self.disk.lock();
        disk.fault.on_read()?;
        check_key(&disk.corrupt, keyspace, key)?;
        Ok(disk.current.map(keyspace).get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, reverse: bool, visit: &mut Visitor<'_>) -> Result<()> {
        // Not under the lock: the visitor may read the store too.
        self.view()?.scan(range, reverse, visit)
    }
}

impl Store for MemoryStore {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        disk.write(batch);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        let all = disk.tail.len();
        disk.fold(all);
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(self.view()?))
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        if disk.checkpoints.contains_key(dir) {
            return Err(Error::Failed(format!(
                "checkpoint: {} is there already",
                dir.display()
            )));
        }
        let content = disk.current.clone();
        disk.checkpoints.insert(dir.to_owned(), content);
        Ok(())
    }

    fn stage(&self, stage: u64, pairs: &[(Keyspace, Bytes, Bytes)]) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        disk.staged
            .entry(stage)
            .or_default()
            .extend_from_slice(pairs);
        Ok(())
    }

    fn install(&self, stage: u64, clear: &[KeyRange], batch: &Batch) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.fault.on_write()?;
        let staged = disk.staged.remove(&stage).unwrap_or_default();
        let mut all = Batch::default();
        for range in clear {
            disk.corrupt.retain(|bad| !covers(range, bad));
            all.delete_range(range.clone());
        }
        for (keyspace, key, value) in staged {
            all.put(keyspace, key, value);
        }
        all.ops.extend_from_slice(&batch.ops);
        disk.write(&all);
        let pending = disk.tail.len();
        disk.fold(pending);
        Ok(())
    }

    fn unstage(&self, stage: u64) -> Result<()> {
        self.disk.lock().staged.remove(&stage);
        Ok(())
    }

    fn approximate_bytes(&self, range: &KeyRange) -> Result<u64> {
        let view = self.view()?;
        Ok(view
            .content
            .pairs(range)
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum())
    }

    fn split_sample(&self, range: &KeyRange, count: usize) -> Result<Vec<Bytes>> {
        let view = self.view()?;
        let total: u64 = view
            .content
            .pairs(range)
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum();
        let mut cuts = Vec::new();
        let mut before = 0;
        for (key, value) in view.content.pairs(range) {
            // The n-th cut is the first key behind n pieces of total / (count + 1) bytes.
            let due = (before * (count as u64 + 1))
                .checked_div(total)
                .unwrap_or(0);
            if due as usize > cuts.len() && cuts.len() < count {
                cuts.push(key.clone());
            }
            before += (key.len() + value.len()) as u64;
        }
        Ok(cuts)
    }

    fn space(&self) -> Result<Space> {
        let disk = self.disk.lock();
        disk.fault.on_read()?;
        let space = disk.space.unwrap_or(Space {
            free: 1 << 40,
            total: 1 << 40,
        });
        Ok(if disk.fault == Fault::Full {
            Space { free: 0, ..space }
        } else {
            space
        })
    }
}

/// The content at one moment.
struct View {
    content: Content,
    corrupt: Vec<KeyRange>,
}

impl Reader for View {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        check_key(&self.corrupt, keyspace, key)?;
        Ok(self.content.map(keyspace).get(key).cloned())
    }

    fn scan(&self, range: &KeyRange, reverse: bool, visit: &mut Visitor<'_>) -> Result<()> {
        if self.corrupt.iter().any(|bad| overlaps(bad, range)) {
            return Err(bad_block());
        }
        self.content.scan(range, reverse, visit);
        Ok(())
    }
}

impl Snapshot for View {}

fn check_key(corrupt: &[KeyRange], keyspace: Keyspace, key: &[u8]) -> Result<()> {
    let touches = |bad: &KeyRange| {
        bad.keyspace == keyspace
            && *key >= bad.start[..]
            && (bad.end.is_empty() || *key < bad.end[..])
    };
    if corrupt.iter().any(touches) {
        Err(bad_block())
    } else {
        Ok(())
    }
}

fn overlaps(a: &KeyRange, b: &KeyRange) -> bool {
    a.keyspace == b.keyspace
        && (a.end.is_empty() || b.start < a.end)
        && (b.end.is_empty() || a.start < b.end)
}

/// Whether all of `inner` lies in `outer`.
fn covers(outer: &KeyRange, inner: &KeyRange) -> bool {
    outer.keyspace == inner.keyspace
        && outer.start <= inner.start
        && (outer.end.is_empty() || (!inner.end.is_empty() && inner.end <= outer.end))
}

fn bad_block() -> Error {
    Error::Corrupt {
        place: "memory".into(),
        detail: "the simulated block fails its checksum".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str) -> Batch {
        let mut batch = Batch::default();
        batch.put(Keyspace::Data, key, "v");
        batch
    }

    fn has(store: &MemoryStore, key: &str) -> bool {
        store.get(Keyspace::Data, key.as_bytes()).unwrap().is_some()
    }

    #[test]
    fn a_crash_lands_on_each_boundary_after_the_flush() {
        for choice in 0..8 {
            let store = MemoryStore::default();
            store.write(&put("a")).unwrap();
            store.flush().unwrap();
            store.write(&put("b")).unwrap();
            store.write(&put("c")).unwrap();
            store.crash(choice);
            assert!(has(&store, "a"));
            assert_eq!(
                (has(&store, "b"), has(&store, "c")),
                (choice % 3 >= 1, choice % 3 >= 2)
            );
        }
    }

    #[test]
    fn the_tail_is_bounded() {
        let store = MemoryStore::default();
        for _ in 0..3 * UNFLUSHED_BATCHES_MAX {
            store.write(&put("a")).unwrap();
        }
        assert!(store.unflushed() <= UNFLUSHED_BATCHES_MAX);
    }

    #[test]
    fn a_full_disk_refuses_changes_and_serves_reads() {
        let store = MemoryStore::default();
        store.write(&put("a")).unwrap();
        store.set_fault(Fault::Full);
        assert!(matches!(store.write(&put("b")), Err(Error::Full(_))));
        assert!(matches!(store.flush(), Err(Error::Full(_))));
        assert!(has(&store, "a") && !has(&store, "b"));
        assert_eq!(store.space().unwrap().free, 0);
        store.set_fault(Fault::Failed);
        assert!(matches!(
            store.get(Keyspace::Data, b"a"),
            Err(Error::Failed(_))
        ));
    }

    #[test]
    fn a_bad_block_is_found_by_reads_that_touch_it_until_it_is_replaced() {
        let store = MemoryStore::default();
        let range = |start: &'static str, end: &'static str| KeyRange {
            keyspace: Keyspace::Data,
            start: start.into(),
            end: end.into(),
        };
        store.corrupt(range("b", "c"));
        assert!(matches!(
            store.get(Keyspace::Data, b"b"),
            Err(Error::Corrupt { .. })
        ));
        assert!(matches!(
            store.scan(&range("a", ""), false, &mut |_, _| true),
            Err(Error::Corrupt { .. })
        ));
        assert!(store.get(Keyspace::Data, b"c").is_ok());
        store
            .install(1, &[range("a", "z")], &Batch::default())
            .unwrap();
        assert!(store.scan(&range("a", ""), false, &mut |_, _| true).is_ok());
    }
}
