//! Linearizability of one item's history: is there an order of its operations that respects real time and explains every answer?
//!
//! The search of Wing and Gong (1993) with Lowe's memory of configurations seen (2017): a configuration is the set of operations
//! that have taken effect, and the item. Operations of unknown outcome may take effect at any time after their invocation, or never.
//! Every other operation was told the item that it met. So those of unknown outcome can be put off until just before one that met
//! what they make, and the search tries only such chains of them as lead from the item to what the next operation met.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::history::{Call, Item, NEVER, Op, Outcome};
use super::random::Random;

/// Steps of the search after which it is given up.
const STEPS_MAX: usize = 2_000_000;

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// No order explains the history; the longest explained part ends before these calls.
    Violation {
        explained: usize,
        stuck: Vec<Call>,
    },
    /// Given up.
    Undecided,
}

/// Zobrist keys are random already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64 ^ (value >> 64) as u64);
    }
}

/// Calls of unknown outcome, in order, and then one that met what they made.
type Move = Vec<usize>;

struct Frame {
    made: Move,
    before: Item,
    /// Where the frontier was.
    frontier: usize,
    /// Moves that are left to be tried instead.
    rest: Vec<Move>,
}

struct Search<'a> {
    calls: &'a [Call],
    /// Those of unknown outcome, by invocation.
    unknown: Vec<usize>,
    done: Vec<bool>,
    keys: Vec<u128>,
    set: u128,
    item: Item,
    /// No call before this one is open and definite.
    frontier: usize,
    open: usize,
    seen: HashSet<(u128, Item), BuildHasherDefault<Same>>,
}

/// Checks one item's history.
pub fn check(calls: &[Call]) -> Verdict {
    let mut calls: Vec<Call> = calls
        .iter()
        .filter(|c| c.is_definite() || c.op != Op::Read)
        .copied()
        .collect();
    calls.sort_by_key(|c| c.invoked);
    let mut random = Random::new(7);
    let keys = calls
        .iter()
        .map(|_| u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()))
        .collect();
    let unknown: Vec<usize> = (0..calls.len())
        .filter(|&i| !calls[i].is_definite())
        .collect();
    let open = calls.len() - unknown.len();
    let done = vec![false; calls.len()];
    let search = Search {
        calls: &calls,
        unknown,
        done,
        keys,
        set: 0,
        item: None,
        frontier: 0,
        open,
        seen: HashSet::default(),
    };
    search.run()
}

impl Search<'_> {
    fn run(mut self) -> Verdict {
        let all = self.open;
        let mut stack: Vec<Frame> = Vec::new();
        let mut best = (0, self.stuck());
        let mut rest = self.moves();
        for _ in 0..STEPS_MAX {
            if self.open == 0 {
                return Verdict::Linearizable;
            }
            if let Some(next) = rest.pop() {
                if let Some(frame) = self.take(next, &mut rest) {
                    stack.push(frame);
                    rest = self.moves();
                    if all - self.open > best.0 {
                        best = (all - self.open, self.stuck());
                    }
                }
            } else if let Some(frame) = stack.pop() {
                rest = self.undo(frame);
            } else {
                return Verdict::Violation {
                    explained: best.0,
                    stuck: best.1,
                };
            }
        }
        Verdict::Undecided
    }

    /// Open definite calls that may come next, and the moment before which everything that comes before them was invoked.
    fn candidates(&self) -> (Vec<usize>, u64) {
        let mut until = NEVER;
        let mut found = Vec::new();
        for (i, call) in self.calls.iter().enumerate().skip(self.frontier) {
            if call.invoked > until {
                break;
            }
            if !self.done[i] && call.is_definite() {
                until = until.min(call.returned);
                found.push(i);
            }
        }
        found.retain(|&i| self.calls[i].invoked <= until);
        found.sort_by_key(|&i| std::cmp::Reverse(self.calls[i].returned));
        (found, until)
    }

    /// What may happen next, the likeliest last.
    fn moves(&self) -> Vec<Move> {
        let (candidates, until) = self.candidates();
        let mut moves = Vec::new();
        for &call in &candidates {
            let met = self.calls[call].met();
            if met == self.item {
                continue;
            }
            let open = self
                .unknown
                .iter()
                .copied()
                .take_while(|&i| self.calls[i].invoked <= until)
                .filter(|&i| !self.done[i])
                .collect();
            for mut chain in (Chains {
                calls: self.calls,
                open,
            })
            .to_item(self.item, met, DEPTH_MAX)
            {
                chain.push(call);
                moves.push(chain);
            }
        }
        moves.extend(
            candidates
                .into_iter()
                .filter(|&call| self.calls[call].met() == self.item)
                .map(|call| vec![call]),
        );
        moves
    }

    /// Lets calls take effect; nothing if they can't, or if that leads to where the search has been.
    fn take(&mut self, next: Move, rest: &mut Vec<Move>) -> Option<Frame> {
        let mut item = self.item;
        let mut set = self.set;
        for &index in &next {
            item = self.calls[index].step(item)?;
            set ^= self.keys[index];
        }
        if !self.seen.insert((set, item)) {
            return None;
        }
        next.iter().for_each(|&index| self.done[index] = true);
        let frame = Frame {
            made: next,
            before: self.item,
            frontier: self.frontier,
            rest: std::mem::take(rest),
        };
        self.set = set;
        self.item = item;
        self.open -= 1;
        while self
            .calls
            .get(self.frontier)
            .is_some_and(|c| !c.is_definite() || self.done[self.frontier])
        {
            self.frontier += 1;
        }
        Some(frame)
    }

    fn undo(&mut self, frame: Frame) -> Vec<Move> {
        for &index in &frame.made {
            self.set ^= self.keys[index];
            self.done[index] = false;
        }
        self.item = frame.before;
        self.open += 1;
        self.frontier = frame.frontier;
        frame.rest
    }

    fn stuck(&self) -> Vec<Call> {
        self.candidates()
            .0
            .into_iter()
            .map(|i| self.calls[i])
            .collect()
    }
}

/// Puts and deletes of unknown outcome that a chain may have one upon another.
const DEPTH_MAX: usize = 4;
/// Chains that are tried between two definite calls.
const CHAINS_MAX: usize = 64;

/// Chains of calls of unknown outcome that lead from an item to another. Adds are positive, so only puts and deletes go back.
struct Chains<'a> {
    calls: &'a [Call],
    open: Vec<usize>,
}

impl Chains<'_> {
    fn to_item(&self, from: Item, to: Item, depth: usize) -> Vec<Move> {
        let Some((tag, count)) = to else {
            return self.to_nothing(from);
        };
        let mut chains = Vec::new();
        let here = match from {
            Some((t, c)) if t == tag && c <= count => Some(c),
            None if tag == 0 => Some(0),
            _ => None,
        };
        if let Some(here) = here {
            chains.extend(self.adds(count - here));
        }
        if tag == 0 && from.is_some() {
            for cleared in self.to_nothing(from) {
                chains.extend(
                    self.adds(count)
                        .into_iter()
                        .map(|adds| [cleared.clone(), adds].concat()),
                );
            }
        }
        for begun in self.to_tag(from, tag, depth) {
            chains.extend(
                self.adds(count)
                    .into_iter()
                    .map(|adds| [begun.clone(), adds].concat()),
            );
        }
        chains.truncate(CHAINS_MAX);
        chains
    }

    /// Deletes are all alike: the earliest will do.
    fn to_nothing(&self, from: Item) -> Vec<Move> {
        if from.is_none() {
            return vec![Vec::new()];
        }
        self.open
            .iter()
            .find(|&&i| self.calls[i].op == Op::Delete)
            .map(|&i| vec![i])
            .into_iter()
            .collect()
    }

    /// Chains that end with the put of a tag.
    fn to_tag(&self, from: Item, tag: u64, depth: usize) -> Vec<Move> {
        let puts = |op: Op| matches!(op, Op::Put { tag: t } | Op::PutIfAbsent { tag: t } | Op::PutIfTag { tag: t, .. } if t == tag);
        let Some(&put) = self
            .open
            .iter()
            .find(|&&i| puts(self.calls[i].op))
            .filter(|_| tag > 0 && depth > 0)
        else {
            return Vec::new();
        };
        let before = match self.calls[put].op {
            Op::PutIfAbsent { .. } => self.to_nothing(from),
            Op::PutIfTag { expected, .. } if from.is_none_or(|(t, _)| t != expected) => {
                self.to_tag(from, expected, depth - 1)
            }
            _ => vec![Vec::new()],
        };
        before
            .into_iter()
            .map(|mut chain| {
                chain.push(put);
                chain
            })
            .collect()
    }

    /// Sets of adds that make up this much.
    fn adds(&self, sum: u64) -> Vec<Move> {
        let deltas: Vec<(usize, u64)> = self
            .open
            .iter()
            .filter_map(|&i| {
                if let Op::Add { delta } = self.calls[i].op {
                    Some((i, delta))
                } else {
                    None
                }
            })
            .collect();
        let mut found = Vec::new();
        subsets(&deltas, sum, &mut Vec::new(), &mut found);
        found
    }
}

fn subsets(deltas: &[(usize, u64)], sum: u64, chosen: &mut Move, found: &mut Vec<Move>) {
    if sum == 0 {
        return found.push(chosen.clone());
    }
    let Some(((index, delta), rest)) = deltas.split_first() else {
        return;
    };
    if found.len() >= CHAINS_MAX || deltas.iter().map(|(_, d)| d).sum::<u64>() < sum {
        return;
    }
    if *delta <= sum {
        chosen.push(*index);
        subsets(rest, sum - delta, chosen, found);
        chosen.pop();
    }
    subsets(rest, sum, chosen, found);
}

/// Whether eventual reads saw only what was written: nothing made up, nothing before it was asked for.
pub fn eventual_read_is_founded(calls: &[Call], seen: Item, returned: u64) -> bool {
    let Some((tag, count)) = seen else {
        return true;
    };
    let put = |op| matches!(op, Op::Put { tag: t } | Op::PutIfAbsent { tag: t } | Op::PutIfTag { tag: t, .. } if t == tag);
    let made = tag == 0
        || calls.iter().any(|c| {
            put(c.op) && c.invoked < returned && !matches!(c.outcome, Outcome::Refused(_))
        });
    let added: u64 = calls
        .iter()
        .filter(|c| c.invoked < returned)
        .map(|c| {
            if let Op::Add { delta } = c.op {
                delta
            } else {
                0
            }
        })
        .sum();
    made && count <= added
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: Op, outcome: Outcome, invoked: u64, returned: u64) -> Call {
        Call {
            op,
            outcome,
            invoked,
            returned,
        }
    }

    fn put(tag: u64, before: Item, invoked: u64, returned: u64) -> Call {
        call(Op::Put { tag }, Outcome::Before(before), invoked, returned)
    }

    fn read(item: Item, invoked: u64, returned: u64) -> Call {
        call(Op::Read, Outcome::Before(item), invoked, returned)
    }

    fn add(delta: u64, after: Item, invoked: u64, returned: u64) -> Call {
        call(Op::Add { delta }, Outcome::After(after), invoked, returned)
    }

    fn unknown(op: Op, invoked: u64) -> Call {
        call(op, Outcome::Unknown, invoked, NEVER)
    }

    fn is_violation(calls: &[Call]) -> bool {
        matches!(check(calls), Verdict::Violation { .. })
    }

    #[test]
    fn good_histories_pass() {
        assert_eq!(check(&[]), Verdict::Linearizable);
        let concurrent = [
            put(1, Some((2, 0)), 1, 10),
            put(2, None, 2, 9),
            read(Some((2, 0)), 3, 4),
            read(Some((1, 0)), 5, 6),
        ];
        assert_eq!(check(&concurrent), Verdict::Linearizable);
        let unknown_seen = [
            unknown(Op::Put { tag: 7 }, 1),
            read(None, 2, 3),
            read(Some((7, 0)), 4, 5),
        ];
        assert_eq!(check(&unknown_seen), Verdict::Linearizable);
        let unknown_late = [
            unknown(Op::Delete, 1),
            put(1, None, 2, 3),
            read(Some((1, 0)), 4, 5),
            read(None, 6, 7),
        ];
        assert_eq!(check(&unknown_late), Verdict::Linearizable);
        let refused = [
            put(1, None, 1, 2),
            call(
                Op::PutIfAbsent { tag: 2 },
                Outcome::Refused(Some((1, 0))),
                3,
                4,
            ),
        ];
        assert_eq!(check(&refused), Verdict::Linearizable);
        let two_unknown = [
            unknown(Op::Add { delta: 5 }, 1),
            unknown(Op::Add { delta: 9 }, 2),
            read(Some((0, 9)), 3, 4),
            read(Some((0, 14)), 5, 6),
        ];
        assert_eq!(check(&two_unknown), Verdict::Linearizable);
    }

    #[test]
    fn a_stale_read_is_caught() {
        assert!(is_violation(&[
            put(1, None, 1, 2),
            put(2, Some((1, 0)), 3, 4),
            read(Some((1, 0)), 5, 6)
        ]));
    }

    #[test]
    fn a_lost_update_is_caught() {
        assert!(is_violation(&[put(1, None, 1, 2), read(None, 3, 4)]));
        assert!(is_violation(&[
            add(1, Some((0, 1)), 1, 5),
            add(2, Some((0, 2)), 2, 4)
        ]));
    }

    #[test]
    fn an_add_that_counts_twice_is_caught() {
        assert!(is_violation(&[
            add(3, Some((0, 3)), 1, 2),
            read(Some((0, 6)), 3, 4)
        ]));
        assert!(is_violation(&[
            unknown(Op::Add { delta: 3 }, 1),
            read(Some((0, 6)), 3, 4)
        ]));
    }

    #[test]
    fn a_value_from_the_future_or_from_nowhere_is_caught() {
        assert!(is_violation(&[
            read(Some((1, 0)), 1, 2),
            put(1, None, 3, 4)
        ]));
        assert!(is_violation(&[read(Some((9, 0)), 1, 2)]));
    }

    #[test]
    fn a_value_that_comes_and_goes_is_caught() {
        let flicker = [
            put(1, None, 1, 2),
            unknown(Op::Put { tag: 2 }, 3),
            read(Some((2, 0)), 4, 5),
            read(Some((1, 0)), 6, 7),
        ];
        assert!(is_violation(&flicker));
    }

    #[test]
    fn conditions_must_be_justified() {
        let absent = call(Op::PutIfAbsent { tag: 2 }, Outcome::Before(None), 3, 4);
        assert!(is_violation(&[put(1, None, 1, 2), absent]));
        let refused = call(
            Op::PutIfAbsent { tag: 2 },
            Outcome::Refused(Some((1, 0))),
            1,
            2,
        );
        assert!(is_violation(&[refused, put(1, None, 3, 4)]));
        let equal = call(
            Op::PutIfTag {
                tag: 3,
                expected: 1,
            },
            Outcome::Before(Some((2, 0))),
            5,
            6,
        );
        assert!(is_violation(&[put(2, None, 1, 2), equal]));
    }

    #[test]
    fn eventual_reads_must_be_founded() {
        let calls = [put(1, None, 10, 12), add(5, Some((1, 5)), 13, 14)];
        assert!(eventual_read_is_founded(&calls, Some((1, 5)), 15));
        assert!(eventual_read_is_founded(&calls, None, 1));
        assert!(
            !eventual_read_is_founded(&calls, Some((1, 0)), 9),
            "from the future"
        );
        assert!(
            !eventual_read_is_founded(&calls, Some((2, 0)), 15),
            "made up"
        );
        assert!(
            !eventual_read_is_founded(&calls, Some((1, 6)), 15),
            "never added"
        );
    }

    #[test]
    fn random_histories_of_a_register_are_explained_and_damaged_ones_are_not() {
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let (mut item, mut calls) = (None, Vec::new());
            for i in 1..400u64 {
                let op = match random.below(6) {
                    0 => Op::Put { tag: i },
                    1 => Op::PutIfAbsent { tag: i },
                    2 => Op::Add {
                        delta: 1 + random.below(1000),
                    },
                    3 if random.chance(300) => Op::Delete,
                    _ => Op::Read,
                };
                let at = 1000 + i * 100;
                let happens = random.chance(970);
                let before = item;
                let after = op.apply(item);
                if op != Op::Read && !random.chance(950) {
                    item = after.filter(|_| happens).unwrap_or(item);
                    calls.push(unknown(op, at - random.below(200)));
                    continue;
                }
                item = after.unwrap_or(item);
                let outcome = match (op, after) {
                    (_, None) => Outcome::Refused(before),
                    (Op::Add { .. }, Some(after)) => Outcome::After(after),
                    _ => Outcome::Before(before),
                };
                calls.push(call(
                    op,
                    outcome,
                    at - random.below(250),
                    at + 1 + random.below(250),
                ));
            }
            assert_eq!(check(&calls), Verdict::Linearizable, "seed {seed}");
            let adds: Vec<usize> = (0..calls.len())
                .filter(|&i| matches!(calls[i].outcome, Outcome::After(_)))
                .collect();
            if let Some(&damaged) = random.pick(&adds) {
                if let Outcome::After(Some((tag, count))) = calls[damaged].outcome {
                    calls[damaged].outcome = Outcome::After(Some((tag, count + 1_000_000)));
                    assert!(is_violation(&calls), "seed {seed}");
                }
            }
        }
    }
}
