//! Projection expressions: the part of an item that a reader asks for.

use std::fmt;

use super::condition::check_size;
use super::error::{Error, Reason};
use super::path::{Path, Step, check_clashes};
use super::placeholders::Placeholders;
use super::resolve::resolve_path;
use super::{Kind, Source, grammar, lexer, print};
use crate::value::{AttributeValue, Item};

/// A parsed `ProjectionExpression`.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// Sorted; none leads to another.
    paths: Vec<Path>,
}

/// Parses a projection.
///
/// # Errors
/// [`Error::Invalid`].
pub fn parse_projection(text: &str, placeholders: &mut Placeholders) -> Result<Projection, Error> {
    let kind = Kind::Projection;
    let paths = parse(text, placeholders);
    paths
        .map(|paths| Projection { paths })
        .map_err(|reason| Error::Invalid { kind, reason })
}

fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Vec<Path>, Reason> {
    check_size(Kind::Projection, text)?;
    let tokens = lexer::tokenize(text, Kind::Projection);
    let paths = grammar::parse_projection(text, &tokens)?;
    let paths = paths.iter().map(|path| resolve_path(path, placeholders));
    let mut paths: Vec<Path> = paths.collect::<Result<_, _>>()?;
    check_clashes(&paths, |path| path)?;
    paths.sort_unstable();
    Ok(paths)
}

impl Projection {
    /// The attributes `names`, as `AttributesToGet` has them; duplicates count once.
    pub fn of_attributes(names: impl IntoIterator<Item = String>) -> Self {
        let mut paths: Vec<Path> = names.into_iter().map(Path::attribute).collect();
        paths.sort_unstable();
        paths.dedup();
        Projection { paths }
    }

    /// All document paths, sorted.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// What the projection leaves of `item`. Of a list only the elements asked for remain, closed up, in
    /// their order; a map or list of which nothing remains is left out.
    pub fn apply(&self, item: &Item) -> Item {
        project(item, &self.paths.iter().collect::<Vec<_>>())
    }

    /// The projection as a text with placeholders of its own: parsed, it gives an equal projection.
    pub fn to_source(&self) -> Source {
        print::projection(&self.paths)
    }
}

/// The text of [`Projection::to_source`].
impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_source().text)
    }
}

/// The part of `item` at `paths`, which are sorted and do not overlap.
pub(super) fn project(item: &Item, paths: &[&Path]) -> Item {
    let mut projected = Item::new();
    for branch in paths.chunk_by(|one, two| one.head() == two.head()) {
        let name = branch[0].head();
        if let Some(value) = item.get(name)
            && let Some(value) = project_value(value, branch, 0)
        {
            projected.insert(name.to_owned(), value);
        }
    }
    projected
}

/// What `paths` leave of `value`, to which their first `depth` inner steps lead.
fn project_value(value: &AttributeValue, paths: &[&Path], depth: usize) -> Option<AttributeValue> {
    if paths[0].inner().len() == depth {
        return Some(value.clone());
    }
    let branches = paths.chunk_by(|one, two| one.inner().get(depth) == two.inner().get(depth));
    let branches = branches.filter_map(|branch| Some((branch[0].inner().get(depth)?, branch)));
    match value {
        AttributeValue::M(members) => {
            let project_member = |(step, branch): (&Step, &[&Path])| match step {
                Step::Field(name) => {
                    let value = project_value(members.get(name)?, branch, depth + 1)?;
                    Some((name.clone(), value))
                }
                Step::Index(_) => None,
            };
            let projected: Item = branches.filter_map(project_member).collect();
            (!projected.is_empty()).then_some(AttributeValue::M(projected))
        }
        AttributeValue::L(elements) => {
            let project_element = |(step, branch): (&Step, &[&Path])| match step {
                Step::Index(index) => {
                    project_value(elements.get(*index as usize)?, branch, depth + 1)
                }
                Step::Field(_) => None,
            };
            let projected: Vec<_> = branches.filter_map(project_element).collect();
            (!projected.is_empty()).then_some(AttributeValue::L(projected))
        }
        _ => None,
    }
}
