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
    check_clashes(&paths.iter().collect::<Vec<_>>())?;
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
    project_members(item, paths, 0)
}

/// `paths` agree in their first `depth` steps, which lead to `members`.
fn project_members(members: &Item, paths: &[&Path], depth: usize) -> Item {
    let mut projected = Item::new();
    for branch in branches(paths, depth) {
        if let Some(Step::Field(name)) = branch[0].steps().get(depth)
            && let Some(value) = members.get(name)
            && let Some(value) = project_value(value, branch, depth + 1)
        {
            projected.insert(name.clone(), value);
        }
    }
    projected
}

fn project_elements(
    elements: &[AttributeValue],
    paths: &[&Path],
    depth: usize,
) -> Vec<AttributeValue> {
    let project_branch = |branch: &[&Path]| match branch[0].steps().get(depth) {
        Some(Step::Index(index)) => {
            project_value(elements.get(*index as usize)?, branch, depth + 1)
        }
        _ => None,
    };
    branches(paths, depth).filter_map(project_branch).collect()
}

/// The runs of `paths` that go on with the same step.
fn branches<'p, 'i>(paths: &'p [&'i Path], depth: usize) -> impl Iterator<Item = &'p [&'i Path]> {
    paths.chunk_by(move |one, two| one.steps().get(depth) == two.steps().get(depth))
}

fn project_value(value: &AttributeValue, paths: &[&Path], depth: usize) -> Option<AttributeValue> {
    if paths[0].steps().len() == depth {
        return Some(value.clone());
    }
    match value {
        AttributeValue::M(members) => {
            let projected = project_members(members, paths, depth);
            (!projected.is_empty()).then_some(AttributeValue::M(projected))
        }
        AttributeValue::L(elements) => {
            let projected = project_elements(elements, paths, depth);
            (!projected.is_empty()).then_some(AttributeValue::L(projected))
        }
        _ => None,
    }
}
