//! What clients did to one item and what they saw, in the order of the simulation's events.

/// What an item holds: the number of the put that made it and what was added since; `None` if there is none.
pub type Item = Option<(u64, u64)>;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Replace the item by (`tag`, 0). Tags are unique.
    Put {
        tag: u64,
    },
    /// The same, if there is none.
    PutIfAbsent {
        tag: u64,
    },
    /// The same, if the item there has the tag `expected`; what an `Add` made has none.
    PutIfTag {
        tag: u64,
        expected: u64,
    },
    /// Add to the item's count; makes (0, `delta`) of none.
    Add {
        delta: u64,
    },
    Delete,
    Read,
}

/// What it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the item before it.
    Before(Item),
    /// Done; the item after it.
    After(Item),
    /// The condition failed on this item.
    Refused(Item),
    /// It may have happened, may yet, or may never.
    Unknown,
}

/// Moment of a return that never came.
pub const NEVER: u64 = u64::MAX;

/// One operation on one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    pub outcome: Outcome,
    /// Numbers of events: an operation whose return is below another's invocation came before it.
    pub invoked: u64,
    pub returned: u64,
}

impl Op {
    /// The item that the operation makes of one; `None` if its condition does not hold.
    pub fn apply(self, item: Item) -> Option<Item> {
        match self {
            Op::Put { tag } => Some(Some((tag, 0))),
            Op::PutIfAbsent { tag } => item.is_none().then_some(Some((tag, 0))),
            Op::PutIfTag { tag, expected } => item
                .is_some_and(|(t, _)| t == expected && t > 0)
                .then_some(Some((tag, 0))),
            Op::Add { delta } => {
                let (tag, count) = item.unwrap_or((0, 0));
                Some(Some((tag, count + delta)))
            }
            Op::Delete => Some(None),
            Op::Read => Some(item),
        }
    }
}

impl Call {
    /// The item after the call, if what it was told is right for `item` before it. A call of unknown outcome is taken to happen.
    pub fn step(&self, item: Item) -> Option<Item> {
        let after = self.op.apply(item);
        match self.outcome {
            Outcome::Before(seen) => after.filter(|_| seen == item),
            Outcome::After(seen) => after.filter(|after| seen == *after),
            Outcome::Refused(seen) => (after.is_none() && seen == item).then_some(item),
            Outcome::Unknown => after,
        }
    }

    /// The item that a call of known outcome met.
    pub fn met(&self) -> Item {
        match (self.outcome, self.op) {
            (Outcome::Before(item) | Outcome::Refused(item), _) => item,
            (Outcome::After(Some((tag, count))), Op::Add { delta }) if tag > 0 || count > delta => {
                Some((tag, count.saturating_sub(delta)))
            }
            (Outcome::After(_) | Outcome::Unknown, _) => None,
        }
    }

    pub fn is_definite(&self) -> bool {
        self.outcome != Outcome::Unknown
    }
}
