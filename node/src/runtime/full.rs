//! A full disk: what it refused is tried again until there is space. Nothing is lost by waiting, and a node that ended would only
//! meet the same disk after its restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kv_core::store::{Error, Result};

/// Told that storage is full, before each new try: gives the ballast up and refuses what may be refused. From any thread.
pub type OnFull = Arc<dyn Fn() + Send + Sync>;

/// Between two tries.
pub const RETRY: Duration = Duration::from_millis(100);

/// How threads wait for space.
#[derive(Clone)]
pub struct Patience {
    on_full: OnFull,
    stopping: Arc<AtomicBool>,
}

impl Patience {
    pub fn new(on_full: OnFull) -> Patience {
        Patience {
            on_full,
            stopping: Arc::default(),
        }
    }

    /// From now on nobody waits any more: a node that is to end must, also with a full disk.
    pub fn end(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Notes that storage is full; false if there is no more waiting.
    pub fn relieve(&self) -> bool {
        (self.on_full)();
        !self.stopping.load(Ordering::Acquire)
    }

    /// Does `attempt` until it is not refused for want of space.
    ///
    /// # Errors
    /// Those of `attempt`; [`Error::Full`] only once the node is to end.
    pub fn until_there_is_space<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut is_told = false;
        loop {
            match attempt() {
                Err(Error::Full(why)) => {
                    if !is_told {
                        tracing::error!(%why, "the disk is full: {what} waits for space");
                        is_told = true;
                    }
                    if !self.relieve() {
                        return Err(Error::Full(why));
                    }
                }
                other => {
                    if is_told {
                        tracing::warn!("there is space again: {what} goes on");
                    }
                    return other;
                }
            }
            std::thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn full() -> Error {
        Error::Full("no".into())
    }

    #[test]
    fn what_a_full_disk_refused_is_tried_until_there_is_space() {
        let told = Arc::new(AtomicU32::new(0));
        let count = told.clone();
        let patience = Patience::new(Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        // The second call to the relief makes the space.
        let done = patience.until_there_is_space("a test", || {
            if told.load(Ordering::Relaxed) < 2 {
                Err(full())
            } else {
                Ok(7)
            }
        });
        assert_eq!(done.unwrap(), 7);
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn other_errors_and_the_end_are_not_waited_for() {
        let patience = Patience::new(Arc::new(|| {}));
        let failed =
            patience.until_there_is_space::<()>("a test", || Err(Error::Failed("broken".into())));
        assert!(matches!(failed, Err(Error::Failed(_))));
        patience.end();
        let full = patience.until_there_is_space::<()>("a test", || Err(full()));
        assert!(matches!(full, Err(Error::Full(_))));
    }
}
