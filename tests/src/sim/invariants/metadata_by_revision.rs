//! The metadata are a function of their revision (state machine replication; DESIGN §5): every node's view at a revision has the
//! same rows.

use std::collections::BTreeMap;

use kv_core::meta::View;

use super::Result;

#[derive(Debug, Default)]
pub struct MetadataByRevision {
    sums: BTreeMap<u64, u32>,
}

impl MetadataByRevision {
    pub fn check(&mut self, view: &View) -> Result {
        let mut sum = crc32fast::Hasher::new();
        for row in view.state.rows() {
            sum.update(&row.key);
            sum.update(row.value.as_deref().unwrap_or_default());
        }
        let sum = sum.finalize();
        let known = *self.sums.entry(view.revision()).or_insert(sum);
        if known == sum {
            Ok(())
        } else {
            Err(format!(
                "two nodes have different metadata of revision {}",
                view.revision()
            ))
        }
    }
}
