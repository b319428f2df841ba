//! How hard a partition is driven, counted where its requests are served.
//!
//! ```text
//!   a read under a ticket, a request at the leader ─► Meter (counts, a sample of rows) ─► Rates, decayed ─► report to the metadata's leader
//! ```
//! The sample holds the rows that are asked for most: space-saving (Metwally et al., "Efficient Computation of Frequent and Top-k Elements
//! in Data Streams", 2005), halved once a second. Under even load it holds about any rows, and so also tells where the load halves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Rows that are counted one by one.
const ROWS_MAX: usize = 32;
/// Every so manieth request is looked at.
const SAMPLE: u64 = 8;
/// Time in which what happened once loses most of its weight, µs.
const DECAY_US: u64 = 1_000_000;
/// A part that a split makes has this share of the load at least, in hundredths.
const PART_MIN_PERCENT: u64 = 10;
/// A row with more of the load than this, in hundredths, is one that no split relieves.
const HOT_PERCENT: u64 = 50;

/// What is counted of one partition on one node. Written by anyone, read by the shard that has its replica.
#[derive(Debug, Default)]
pub struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
    bytes: AtomicU64,
    rows: Mutex<TopRows>,
}

impl Meter {
    /// A read of a row, or of rows from there on.
    pub fn read(&self, row: &[u8], bytes: usize) {
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        self.count(number, row, bytes);
    }

    /// A write of a row.
    pub fn write(&self, row: &[u8], bytes: usize) {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        self.count(number, row, bytes);
    }

    fn count(&self, number: u64, row: &[u8], bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // Nobody waits for a sample.
        if number.is_multiple_of(SAMPLE)
            && let Some(mut rows) = self.rows.try_lock()
        {
            rows.add(row);
        }
    }

    fn totals(&self) -> [u64; 3] {
        [&self.reads, &self.writes, &self.bytes].map(|total| total.load(Ordering::Relaxed))
    }

    /// What was asked for lately loses half of its weight.
    pub fn decay(&self) {
        self.rows.lock().halve();
    }

    /// Rows in order with their weights.
    pub fn rows(&self) -> Vec<(Bytes, u64)> {
        let mut rows = self.rows.lock().rows.clone();
        rows.sort();
        rows
    }
}

/// The rows that were met most often.
#[derive(Debug, Default)]
struct TopRows {
    rows: Vec<(Bytes, u64)>,
}

impl TopRows {
    fn add(&mut self, row: &[u8]) {
        if let Some((_, count)) = self.rows.iter_mut().find(|(known, _)| *known == row) {
            *count += 1;
            return;
        }
        let row = Bytes::copy_from_slice(row);
        if self.rows.len() < ROWS_MAX {
            return self.rows.push((row, 1));
        }
        if let Some(least) = self.rows.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (row, least.1 + 1);
        }
    }

    fn halve(&mut self) {
        self.rows.iter_mut().for_each(|(_, count)| *count /= 2);
        self.rows.retain(|(_, count)| *count > 0);
    }
}

/// Decayed rates a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    seen: [u64; 3],
    at_us: u64,
    pub reads: f64,
    pub writes: f64,
    pub bytes: f64,
}

impl Rates {
    /// Begins with what was counted so far as nothing.
    pub fn new(meter: &Meter, now_us: u64) -> Rates {
        Rates {
            seen: meter.totals(),
            at_us: now_us,
            ..Rates::default()
        }
    }

    pub fn update(&mut self, meter: &Meter, now_us: u64) {
        let past_us = now_us.saturating_sub(self.at_us);
        if past_us == 0 {
            return;
        }
        let totals = meter.totals();
        let weight = past_us as f64 / (past_us + DECAY_US) as f64;
        let rates = [&mut self.reads, &mut self.writes, &mut self.bytes];
        for ((rate, seen), total) in rates.into_iter().zip(self.seen).zip(totals) {
            let now = total.saturating_sub(seen) as f64 * 1e6 / past_us as f64;
            *rate += (now - *rate) * weight;
        }
        (self.seen, self.at_us) = (totals, now_us);
    }

    /// Requests a second.
    pub fn requests(&self) -> f64 {
        self.reads + self.writes
    }
}

/// Where a sample of the load halves best, and what of it is too hot to be split; `unit` is the first row of what a split may not cut that
/// a row belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// The first row of the right part.
    pub cut: Option<Bytes>,
    /// The row that has most of the load, and its share of it; whether or not it is too much.
    pub top: Option<(Bytes, f64)>,
}

impl Shape {
    pub fn of(rows: &[(Bytes, u64)], unit: impl Fn(&Bytes) -> Option<Bytes>) -> Shape {
        let total: u64 = rows.iter().map(|(_, weight)| weight).sum();
        let top = rows.iter().max_by_key(|(_, weight)| *weight);
        let top = top.map(|(row, weight)| (row.clone(), *weight as f64 / total as f64));
        let mut units: BTreeMap<Option<Bytes>, u64> = BTreeMap::new();
        for (row, weight) in rows {
            *units.entry(unit(row)).or_default() += weight;
        }
        let mut left = 0;
        let mut best: Option<(u64, Bytes)> = None;
        for (unit, weight) in units {
            // What can't be a cut lies at the partition's beginning.
            let least = left.min(total - left);
            if let Some(at) = unit.filter(|_| least * 100 >= total * PART_MIN_PERCENT)
                && best.as_ref().is_none_or(|(known, _)| *known < least)
            {
                best = Some((least, at));
            }
            left += weight;
        }
        Shape {
            cut: best.filter(|(least, _)| *least > 0).map(|(_, at)| at),
            top,
        }
    }

    /// The row that no split relieves.
    pub fn hot(&self) -> Option<&Bytes> {
        let top = self.top.as_ref();
        top.filter(|(_, share)| share * 100.0 > HOT_PERCENT as f64)
            .map(|(row, _)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u32) -> Bytes {
        Bytes::from(format!("row-{n:04}"))
    }

    fn shape(meter: &Meter) -> Shape {
        Shape::of(&meter.rows(), |row| Some(row.clone()))
    }

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let meter = Meter::default();
        let mut rates = Rates::new(&meter, 0);
        for tick in 1..=100 {
            for n in 0..50 {
                meter.read(&row(n), 100);
            }
            rates.update(&meter, tick * 100_000);
        }
        assert!((rates.reads - 500.0).abs() < 1.0, "{rates:?}");
        assert!((rates.bytes - 50_000.0).abs() < 100.0, "{rates:?}");
        for tick in 101..=200 {
            rates.update(&meter, tick * 100_000);
        }
        assert!(rates.requests() < 1.0, "{rates:?}");
    }

    #[test]
    fn even_load_is_cut_in_the_middle() {
        let meter = Meter::default();
        // A step that is prime to the sample's, so that all rows are met.
        for n in 0..80_000_u32 {
            meter.read(&row(n.wrapping_mul(619) % 1000), 1);
        }
        let shape = shape(&meter);
        let cut = shape.cut.clone().unwrap();
        assert!(row(200) < cut && cut < row(800), "{cut:?}");
        assert_eq!(shape.hot(), None);
        assert!(meter.rows().len() <= ROWS_MAX);
    }

    #[test]
    fn one_key_is_set_apart_and_then_said_to_be_hot() {
        let rows = [(row(1), 5), (row(2), 90), (row(3), 5)];
        let shape = Shape::of(&rows, |row| Some(row.clone()));
        assert_eq!((shape.cut.as_ref(), shape.hot()), (None, Some(&row(2))));
        let rows = [(row(1), 30), (row(2), 60), (row(3), 10)];
        let shape = Shape::of(&rows, |row| Some(row.clone()));
        assert_eq!((shape.cut, shape.top.unwrap().0), (Some(row(2)), row(2)));
        assert_eq!(Shape::of(&[], |row| Some(row.clone())), Shape::default());
    }

    #[test]
    fn what_may_not_be_cut_stays_whole() {
        let rows = [(row(1), 30), (row(2), 30), (row(3), 40)];
        // Rows 2 and 3 belong together, and row 1 begins the partition.
        let unit = |r: &Bytes| (*r != row(1)).then(|| row(2));
        assert_eq!(Shape::of(&rows, unit).cut, Some(row(2)));
        let unit = |_: &Bytes| Some(row(0));
        assert_eq!(Shape::of(&rows, unit).cut, None);
    }
}
