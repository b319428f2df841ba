//! No id is ever given twice (DESIGN §2, §5): a node, table, group or replica that is gone stays gone, and a replica stays where it is.

use std::collections::BTreeMap;

use kv_core::meta::View;

use super::Result;

/// What an id stands for.
type Meaning = (u64, u64, String);

#[derive(Debug, Default)]
pub struct FreshIds {
    /// By kind and id: what it is, and the revisions at which it was first and last seen to be gone or there.
    known: BTreeMap<(char, u64), Meaning>,
    /// By kind and id: a revision at which it was there, and a later one at which it was gone.
    gone: BTreeMap<(char, u64), u64>,
    revision: u64,
}

impl FreshIds {
    pub fn check(&mut self, view: &View) -> Result {
        let revision = view.revision();
        let state = &view.state;
        let nodes = state
            .nodes
            .values()
            .map(|n| (('n', n.id), (0, 0, n.name.clone())));
        let tables = state
            .tables
            .values()
            .map(|t| (('t', t.id), (0, 0, t.uuid.clone())));
        let groups = state
            .groups
            .values()
            .map(|g| (('g', g.id), (g.table, 0, String::new())));
        let replicas = state.groups.values().flat_map(|g| {
            g.members
                .iter()
                .map(|m| (('r', m.replica), (g.id, m.node, String::new())))
        });
        let present: BTreeMap<(char, u64), Meaning> =
            nodes.chain(tables).chain(groups).chain(replicas).collect();
        for (id, meaning) in &present {
            let known = self.known.entry(*id).or_insert_with(|| meaning.clone());
            if known != meaning {
                return Err(format!(
                    "id {id:?} stands for {known:?} and for {meaning:?}"
                ));
            }
            if self.gone.get(id).is_some_and(|at| *at < revision) {
                return Err(format!("id {id:?} is back at revision {revision}"));
            }
        }
        if revision > self.revision {
            self.revision = revision;
            for id in self.known.keys().filter(|id| !present.contains_key(id)) {
                self.gone.entry(*id).or_insert(revision);
            }
        }
        Ok(())
    }
}
