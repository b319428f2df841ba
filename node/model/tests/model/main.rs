//! Examples and properties of the data model, one file a subject.

mod arbitrary;
mod fixtures;
mod item;
mod json;
mod key;
mod number;
mod record;
mod schema;
mod value;
