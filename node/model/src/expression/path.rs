//! Document paths: `a`, `a.b`, `a.b[3].c`.
//!
//! Paths order by their steps, list indexes before names, so that paths with a common prefix stand
//! together: overlaps are found, and items projected, in one walk over sorted paths.

use std::fmt;

use super::error::{Error, KeyRole, Reason};
use crate::value::{AttributeValue, Item};

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// An element of a list, from 0.
    Index(u32),
    /// A member of a map.
    Field(String),
}

/// Where a value stands in an item: an attribute's name, and steps into its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    head: String,
    /// Apart from the head, since most paths have none: they need no second allocation.
    inner: Vec<Step>,
}

impl Path {
    /// The attribute `name` itself.
    pub fn attribute(name: impl Into<String>) -> Self {
        Path::new(name.into(), Vec::new())
    }

    pub(super) fn new(head: String, inner: Vec<Step>) -> Self {
        Path { head, inner }
    }

    /// This path with one more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.inner.push(step);
        self
    }

    /// Name of the top-level attribute.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The steps into the attribute's value.
    pub fn inner(&self) -> &[Step] {
        &self.inner
    }

    /// Whether the path looks inside its attribute.
    pub fn is_nested(&self) -> bool {
        !self.inner.is_empty()
    }

    /// The value at this path.
    pub fn get<'i>(&self, item: &'i Item) -> Option<&'i AttributeValue> {
        let mut steps = self.inner.iter();
        steps.try_fold(item.get(&self.head)?, |value, step| match (value, step) {
            (AttributeValue::M(members), Step::Field(name)) => members.get(name),
            (AttributeValue::L(elements), Step::Index(index)) => elements.get(*index as usize),
            _ => None,
        })
    }
}

/// As the service's messages show paths: `[a, [1], b]`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.head)?;
        for step in &self.inner {
            match step {
                Step::Field(name) => write!(f, ", {name}")?,
                Step::Index(index) => write!(f, ", [{index}]")?,
            }
        }
        f.write_str("]")
    }
}

/// Refuses a path that looks inside a key attribute of the table, or of one of its indexes.
///
/// `table_keys` and `index_keys` are attribute names; the service checks the table's first.
pub fn check_scalar_keys<'p>(
    paths: impl Iterator<Item = &'p Path> + Clone,
    table_keys: &[&str],
    index_keys: &[&str],
) -> Result<(), Error> {
    for (role, keys) in [(KeyRole::Table, table_keys), (KeyRole::Index, index_keys)] {
        for key in keys {
            if paths
                .clone()
                .any(|path| path.is_nested() && path.head() == *key)
            {
                return Err(Error::PathIntoKey {
                    role,
                    attribute: (*key).to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// How two paths of one expression disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clash {
    /// One is the other, or leads to it.
    Overlap,
    /// They take the same value for a list and for a map.
    Conflict,
}

fn clash(one: &Path, two: &Path) -> Option<Clash> {
    if one.head != two.head {
        return None;
    }
    for (a, b) in one.inner.iter().zip(&two.inner) {
        match (a, b) {
            _ if a == b => {}
            (Step::Index(_), Step::Field(_)) | (Step::Field(_), Step::Index(_)) => {
                return Some(Clash::Conflict);
            }
            _ => return None,
        }
    }
    Some(Clash::Overlap)
}

/// Up to this many paths, comparing all pairs is faster than sorting.
const PAIRWISE_MAX: usize = 8;

/// Refuses `items` whose paths overlap or conflict. An overlap is told before a conflict, and of each
/// the pair whose second path comes first.
pub(super) fn check_clashes<T>(items: &[T], path: fn(&T) -> &Path) -> Result<(), Reason> {
    if items.len() > PAIRWISE_MAX {
        // Sorted, a path stands next to one that it clashes with, if there is any.
        let mut sorted: Vec<&Path> = items.iter().map(path).collect();
        sorted.sort_unstable();
        let mut neighbours = sorted.windows(2);
        if neighbours.all(|pair| clash(pair[0], pair[1]).is_none()) {
            return Ok(());
        }
    }
    let mut conflict = None;
    for (i, two) in items.iter().map(path).enumerate() {
        for one in items[..i].iter().map(path) {
            let pair = || (one.clone(), two.clone());
            match clash(one, two) {
                Some(Clash::Overlap) => {
                    let (one, two) = pair();
                    return Err(Reason::Overlap { one, two });
                }
                Some(Clash::Conflict) if conflict.is_none() => conflict = Some(pair()),
                Some(Clash::Conflict) | None => {}
            }
        }
    }
    conflict.map_or(Ok(()), |(one, two)| Err(Reason::Conflict { one, two }))
}
