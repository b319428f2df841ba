//! Consumed capacity by the service's arithmetic.
//!
//! A write costs a unit for each started KiB of the larger of the item before and after; a strong read one for each
//! started 4 KiB, an eventual one half of that. Nothing found or written still costs one step. Queries and scans sum
//! the sizes first and round once.

use kv_core::api::IndexUse;

use super::output::Object;

const WRITE_UNIT_BYTES: u64 = 1024;
const READ_UNIT_BYTES: u64 = 4096;

/// What `ReturnConsumedCapacity` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Report {
    #[default]
    None,
    Total,
    Indexes,
}

impl Report {
    /// From a checked parameter.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("TOTAL") => Report::Total,
            Some("INDEXES") => Report::Indexes,
            _ => Report::None,
        }
    }
}

/// Units of a write of an item that had and has these sizes.
pub fn write_units(old_size: u64, new_size: u64) -> f64 {
    units(old_size.max(new_size), WRITE_UNIT_BYTES)
}

/// Units of a read of so many bytes.
pub fn read_units(size: u64, strong: bool) -> f64 {
    units(size, READ_UNIT_BYTES) * if strong { 1.0 } else { 0.5 }
}

/// Exact: sizes of requests are far below 2^52 bytes.
fn units(size: u64, unit: u64) -> f64 {
    size.div_ceil(unit).max(1) as f64
}

/// Writes `ConsumedCapacity` of one table, if asked for.
pub fn report(o: &mut Object<'_>, report: Report, table: &str, units: f64) {
    if report != Report::None {
        o.object("ConsumedCapacity", |o| describe(o, report, table, units));
    }
}

/// The members of a `ConsumedCapacity`.
pub fn describe(o: &mut Object<'_>, report: Report, table: &str, units: f64) {
    o.float("CapacityUnits", units);
    o.string("TableName", table);
    if report == Report::Indexes {
        o.object("Table", |o| o.float("CapacityUnits", units));
    }
}

/// Writes `ConsumedCapacity` of a write: of its table and of the indexes that it touched.
pub fn report_with(
    o: &mut Object<'_>,
    report: Report,
    table: &str,
    units: f64,
    indexes: &[IndexUse],
) {
    let used = indexes
        .iter()
        .map(|one| (&*one.index, one.local, one.units as f64));
    let used: Vec<(&str, bool, f64)> = used.collect();
    if report != Report::None {
        o.object("ConsumedCapacity", |o| {
            describe_with(o, report, table, units, &used);
        });
    }
}

/// What several writes cost in each index.
pub fn sum_uses<'u>(all: impl Iterator<Item = &'u [IndexUse]>) -> Vec<(&'u str, bool, f64)> {
    let mut sums: std::collections::BTreeMap<&str, (bool, f64)> = Default::default();
    for one in all.flatten() {
        let sum = sums.entry(&one.index).or_insert((one.local, 0.0));
        sum.1 += one.units as f64;
    }
    let sums = sums.into_iter();
    sums.map(|(name, (local, units))| (name, local, units))
        .collect()
}

/// The members of a `ConsumedCapacity` with indexes: (name, whether it is local, units).
pub fn describe_with(
    o: &mut Object<'_>,
    report: Report,
    table: &str,
    units: f64,
    indexes: &[(&str, bool, f64)],
) {
    describe_all(o, report, None, table, units, indexes);
}

/// As [`describe_with`], of a transaction, which also tells the units as those of its direction: `ReadCapacityUnits` or
/// `WriteCapacityUnits`.
pub fn describe_transaction(
    o: &mut Object<'_>,
    report: Report,
    direction: &'static str,
    table: &str,
    units: f64,
    indexes: &[(&str, bool, f64)],
) {
    describe_all(o, report, Some(direction), table, units, indexes);
}

fn describe_all(
    o: &mut Object<'_>,
    report: Report,
    direction: Option<&'static str>,
    table: &str,
    units: f64,
    indexes: &[(&str, bool, f64)],
) {
    let tell = |o: &mut Object<'_>, units: f64| {
        o.float("CapacityUnits", units);
        if let Some(direction) = direction {
            o.float(direction, units);
        }
    };
    tell(
        o,
        units + indexes.iter().map(|(_, _, units)| units).sum::<f64>(),
    );
    o.string("TableName", table);
    if report != Report::Indexes {
        return;
    }
    o.object("Table", |o| tell(o, units));
    for (member, local) in [
        ("LocalSecondaryIndexes", true),
        ("GlobalSecondaryIndexes", false),
    ] {
        let used: Vec<_> = indexes
            .iter()
            .filter(|(_, is_local, _)| *is_local == local)
            .collect();
        if !used.is_empty() {
            o.object(member, |o| {
                for (name, _, units) in used {
                    o.value_of(name, |out| super::output::object(out, |o| tell(o, *units)));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_to_the_unit_of_the_kind() {
        for (old, new, units) in [(0, 0, 1.0), (0, 1024, 1.0), (0, 1025, 2.0), (5000, 1, 5.0)] {
            assert_eq!(write_units(old, new), units, "{old} to {new} bytes");
        }
        for (size, strong, units) in [
            (0, true, 1.0),
            (0, false, 0.5),
            (4096, true, 1.0),
            (4097, false, 1.0),
            (8193, true, 3.0),
        ] {
            assert_eq!(
                read_units(size, strong),
                units,
                "{size} bytes, strong: {strong}"
            );
        }
    }
}
