//! A checker of serializability for histories of transactions that append to lists, in the manner of Elle (Kingsbury and Alvaro, 2020).
//!
//! ```text
//!   each append is of a number of its own, so a list that was read tells who wrote it, in which order
//!     ww: a ─► b   b's number follows a's in a list
//!     wr: a ─► b   b has read a list that ends with a's number
//!     rw: a ─► b   a has read a list without b's number, which follows
//!     rt: a ─► b   a had returned before b was invoked
//!   no order explains them all  ⇔  there is a cycle
//! ```
//! Lists only grow, so the longest one holds the order of all that were appended to it.

use std::collections::{BTreeMap, BTreeSet};

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Committed,
    /// Nothing of it was done.
    Refused,
    Unknown,
}

/// A transaction as its client saw it. Of one that has not returned, `returned` is the greatest number.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// What it appends, to each of `appends`; 0: nothing.
    pub id: u64,
    pub appends: Vec<usize>,
    pub reads: Vec<(usize, Vec<u64>)>,
    pub invoked: u64,
    pub returned: u64,
    pub end: End,
}

/// Checks a history against the lists as they are in the end, by key.
///
/// # Errors
/// What is wrong, in words.
pub fn check(history: &[Transaction], lists: &[Vec<u64>]) -> Result<(), String> {
    let by_id: BTreeMap<u64, usize> = history
        .iter()
        .enumerate()
        .filter(|(_, t)| t.id > 0)
        .map(|(at, t)| (t.id, at))
        .collect();
    for (key, list) in lists.iter().enumerate() {
        let distinct: BTreeSet<u64> = list.iter().copied().collect();
        if distinct.len() < list.len() {
            return Err(format!("the list {key} has something twice: {list:?}"));
        }
        for id in list {
            match by_id.get(id).map(|at| &history[*at]) {
                None => return Err(format!("the list {key} has {id}, which nobody appended")),
                Some(t) if t.end == End::Refused => {
                    return Err(format!("the list {key} has {id}, which was refused"));
                }
                Some(t) if !t.appends.contains(&key) => {
                    return Err(format!("the list {key} has {id}, which was for others"));
                }
                Some(_) => {}
            }
        }
    }
    let mut there = BTreeSet::new();
    for transaction in history.iter().filter(|t| !t.appends.is_empty()) {
        let (id, appends) = (transaction.id, &transaction.appends);
        let held = appends
            .iter()
            .filter(|key| lists[**key].contains(&id))
            .count();
        if held > 0 && held < appends.len() {
            return Err(format!("{id} is in {held} of the lists {appends:?} alone"));
        }
        if held == 0 && transaction.end == End::Committed {
            return Err(format!(
                "{id} was acknowledged and is in none of {appends:?}"
            ));
        }
        if held > 0 {
            there.insert(id);
        }
    }
    for transaction in history {
        for (key, read) in &transaction.reads {
            if !lists[*key].starts_with(read) {
                let list = &lists[*key];
                return Err(format!(
                    "somebody read {read:?} of the list {key}, which became {list:?}"
                ));
            }
        }
    }
    acyclic(history, lists, &by_id, &there)
}

fn acyclic(
    history: &[Transaction],
    lists: &[Vec<u64>],
    by_id: &BTreeMap<u64, usize>,
    there: &BTreeSet<u64>,
) -> Result<(), String> {
    // Those whose effect is known to be there, or whose reads are.
    let counts = |t: &Transaction| there.contains(&t.id) || t.end == End::Committed;
    let nodes: Vec<usize> = (0..history.len())
        .filter(|at| counts(&history[*at]))
        .collect();
    // Moments of return, in order, each after all before it: so real time needs an edge or two a transaction.
    let mut returns: Vec<usize> = nodes
        .iter()
        .copied()
        .filter(|at| history[*at].returned < u64::MAX)
        .collect();
    returns.sort_by_key(|at| history[*at].returned);
    let moment = |n: usize| history.len() + n;
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); history.len() + returns.len()];
    for (n, at) in returns.iter().enumerate() {
        edges[*at].push(moment(n));
        if n + 1 < returns.len() {
            edges[moment(n)].push(moment(n + 1));
        }
    }
    for at in &nodes {
        let before = returns.partition_point(|r| history[*r].returned < history[*at].invoked);
        if before > 0 {
            edges[moment(before - 1)].push(*at);
        }
    }
    for list in lists {
        for pair in list.windows(2) {
            edges[by_id[&pair[0]]].push(by_id[&pair[1]]);
        }
    }
    for at in &nodes {
        for (key, read) in &history[*at].reads {
            // What it has appended itself it has read as well.
            let own = |id: u64| by_id[&id] == *at;
            if let Some(last) = read.iter().rev().find(|id| !own(**id)) {
                edges[by_id[last]].push(*at);
            }
            let next = lists[*key][read.len()..].iter().find(|id| !own(**id));
            if let Some(next) = next {
                edges[*at].push(by_id[next]);
            }
        }
    }
    let cycle = find_cycle(&edges);
    cycle.map_or(Ok(()), |cycle| {
        let words: Vec<String> = cycle
            .iter()
            .filter(|at| **at < history.len())
            .map(|at| format!("{:?}", history[*at]))
            .collect();
        Err(format!("no order explains these: {}", words.join(" → ")))
    })
}

/// A cycle of a graph, if there is one.
fn find_cycle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; edges.len()];
    for root in 0..edges.len() {
        if marks[root] != Mark::New {
            continue;
        }
        let mut path = vec![(root, 0)];
        marks[root] = Mark::Open;
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            let Some(&to) = edges[at].get(*next) else {
                marks[at] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[to] {
                Mark::Open => {
                    let from = path.iter().position(|(at, _)| *at == to)?;
                    return Some(path[from..].iter().map(|(at, _)| *at).collect());
                }
                Mark::New => {
                    marks[to] = Mark::Open;
                    path.push((to, 0));
                }
                Mark::Done => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(id: u64, keys: &[usize], invoked: u64, returned: u64) -> Transaction {
        Transaction {
            id,
            appends: keys.to_vec(),
            reads: Vec::new(),
            invoked,
            returned,
            end: End::Committed,
        }
    }

    fn read(reads: &[(usize, &[u64])], invoked: u64, returned: u64) -> Transaction {
        Transaction {
            id: 0,
            appends: Vec::new(),
            reads: reads
                .iter()
                .map(|(key, list)| (*key, list.to_vec()))
                .collect(),
            invoked,
            returned,
            end: End::Committed,
        }
    }

    #[test]
    fn what_some_order_explains_is_right() {
        let history = [
            append(1, &[0, 1], 0, 10),
            append(2, &[0, 1], 1, 11),
            read(&[(0, &[1]), (1, &[1])], 5, 12),
            read(&[(0, &[1, 2]), (1, &[1, 2])], 13, 14),
        ];
        assert_eq!(check(&history, &[vec![1, 2], vec![1, 2]]), Ok(()));
        let mut unknown = history.to_vec();
        (unknown[1].end, unknown[1].returned) = (End::Unknown, u64::MAX);
        assert_eq!(check(&unknown, &[vec![1, 2], vec![1, 2]]), Ok(()));
    }

    #[test]
    fn known_anomalies_are_found() {
        let both = || append(1, &[0, 1], 0, 10);
        let two = append(2, &[0, 1], 0, 10);
        let refused = Transaction {
            end: End::Refused,
            ..append(3, &[0], 0, 10)
        };
        // (history, lists): half done, lost, done though refused, twice, opposite orders, torn read, read of the past, write skew.
        let wrong: &[(Vec<Transaction>, [Vec<u64>; 2])] = &[
            (vec![both()], [vec![1], vec![]]),
            (vec![both()], [vec![], vec![]]),
            (vec![refused], [vec![3], vec![]]),
            (vec![both()], [vec![1, 1], vec![1]]),
            (vec![both(), two], [vec![1, 2], vec![2, 1]]),
            (
                vec![both(), read(&[(0, &[1]), (1, &[])], 0, 20)],
                [vec![1], vec![1]],
            ),
            (vec![both(), read(&[(0, &[])], 11, 12)], [vec![1], vec![1]]),
            (
                vec![
                    Transaction {
                        reads: vec![(1, vec![])],
                        ..append(1, &[0], 0, 10)
                    },
                    Transaction {
                        reads: vec![(0, vec![])],
                        ..append(2, &[1], 0, 10)
                    },
                ],
                [vec![1], vec![2]],
            ),
            (
                vec![both(), read(&[(0, &[1])], 2, 3), read(&[(1, &[])], 4, 5)],
                [vec![1], vec![1]],
            ),
        ];
        for (history, lists) in wrong {
            assert!(check(history, lists).is_err(), "{history:?} with {lists:?}");
        }
    }
}
