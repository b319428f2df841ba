//! `orders.json`: what a person ordered beside the spec. Commands write it, the operator only reads it; orders that are carried out are
//! dropped by the next command that writes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::FlockOperation;

use crate::plan::orders::Orders;
use crate::platform::local::Error;
use crate::platform::local::dir::{Dir, read_file, write_file};

/// The orders of a directory.
///
/// # Errors
/// The file is damaged.
pub fn read(dir: &Dir) -> Result<Orders, Error> {
    let path = dir.orders();
    match read_file(&path)? {
        Some(text) => serde_json::from_str(&text).map_err(|source| Error::Damaged { path, source }),
        None => Ok(Orders::default()),
    }
}

/// Changes the orders; one command at a time.
///
/// # Errors
/// The file is damaged, or what the system says.
pub fn change(dir: &Dir, change: impl FnOnce(&mut Orders)) -> Result<(), Error> {
    let path = dir.orders();
    let lock_path = path.with_added_extension("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path);
    let lock = opened.map_err(Error::io("open", &lock_path))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| Error::io("lock", &lock_path)(errno.into()))?;
    let before = read(dir)?;
    let mut orders = before.clone();
    change(&mut orders);
    if orders == before {
        return Ok(());
    }
    let damaged = |source| Error::Damaged {
        path: path.clone(),
        source,
    };
    write_file(&path, &serde_json::to_vec_pretty(&orders).map_err(damaged)?)
}
