//! What each operation's input looks like, as tables; and the check of a request's body against them.
//!
//! ```text
//!   body ──check (streaming, allocates nothing unless it fails)──► typed request ──operation──► …
//!              └─ SerializationException, or `N validation errors detected: …`
//! ```
//! The shapes and constraints follow the service model (botocore `data/dynamodb/2012-08-10`); the order of members is the
//! order in which the service reports violations, as others recorded it (dynalite's tests).

mod check;
mod fields;
mod generated;
mod items;
mod patterns;
mod statements;
mod streams;
mod tables;
mod transactions;
mod words;

use super::error::Error;

pub use check::{check, table_name_of};
pub use fields::{Bool, Int, Names, Text};
pub use generated::{CREATE_TABLE_INPUT as CREATE_TABLE, UPDATE_TABLE_INPUT as UPDATE_TABLE};
pub use items::{
    BATCH_GET_ITEM, BATCH_WRITE_ITEM, DELETE_ITEM, GET_ITEM, PUT_ITEM, QUERY, SCAN, UPDATE_ITEM,
};
pub use statements::{BATCH_EXECUTE_STATEMENT, EXECUTE_STATEMENT};
pub use streams::{DESCRIBE_STREAM, GET_RECORDS, GET_SHARD_ITERATOR, LIST_STREAMS};
pub use tables::{LIST_TABLES, NOTHING, RESOURCE_ARN, TABLE_NAME_ONLY, UPDATE_TIME_TO_LIVE};
pub use transactions::{EXECUTE_TRANSACTION, TRANSACT_GET_ITEMS, TRANSACT_WRITE_ITEMS};

/// The input of an operation that has a generated table.
///
/// # Errors
/// [`Error::UnknownOperation`].
pub fn of_generated(operation: &str) -> Result<&'static Structure, Error> {
    let found = generated::ALL.binary_search_by(|(name, _)| (*name).cmp(operation));
    found
        .map(|at| generated::ALL[at].1)
        .map_err(|_| Error::UnknownOperation)
}

/// What JSON is expected.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    String,
    Boolean,
    Integer,
    Long,
    /// A number with decimals, or a time as one.
    Double,
    Blob,
    List(&'static Member),
    /// Values by name; the second is the Java class of the values, which the service names.
    Map(&'static Member, &'static str),
    Structure(&'static Structure),
}

/// A structure by the name of the service model.
#[derive(Debug)]
pub struct Structure {
    pub name: &'static str,
    /// At most 32.
    pub members: &'static [Member],
    /// No member, however deep, has a rule.
    pub free: bool,
}

/// A member of a structure, a list or a map; unnamed in the latter two.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub shape: Shape,
    pub rules: &'static [Rule],
}

/// A constraint on one value.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    NotNull,
    /// Missing, it is reported before all other violations, in other words.
    Required,
    /// 3 to 255 characters, reported as [`Rule::Required`] is.
    TableNameLength,
    Min(i64),
    Max(i64),
    MinLength(usize),
    MaxLength(usize),
    /// `[a-zA-Z0-9_.-]+`
    Pattern,
    /// Another pattern, and the function that tells whether a text is of it.
    Matches(&'static str, fn(&str) -> bool),
    Enum(&'static [&'static str]),
    /// Each key of a map is a table's name.
    TableNameKeys,
    /// Each value of a map is a list with lengths within.
    ValueLengths(usize, usize),
}

impl Member {
    const fn new(name: &'static str, shape: Shape, rules: &'static [Rule]) -> Self {
        Member { name, shape, rules }
    }

    const fn free(name: &'static str, shape: Shape) -> Self {
        Member {
            name,
            shape,
            rules: &[],
        }
    }
}

impl Structure {
    const fn new(name: &'static str, members: &'static [Member]) -> Self {
        Structure {
            name,
            members,
            free: false,
        }
    }
}

/// A value of the data model; its own rules are the data model's.
static ATTRIBUTE_VALUE: Structure = Structure {
    name: "AttributeValue",
    free: true,
    members: &[
        Member::free("S", Shape::String),
        Member::free("N", Shape::String),
        Member::free("B", Shape::Blob),
        Member::free("M", Shape::Map(&VALUE, ATTRIBUTE_VALUE_CLASS)),
        Member::free("L", Shape::List(&VALUE)),
        Member::free("BOOL", Shape::Boolean),
        Member::free("NULL", Shape::Boolean),
        Member::free("SS", Shape::List(&TEXT)),
        Member::free("NS", Shape::List(&TEXT)),
        Member::free("BS", Shape::List(&BLOB)),
    ],
};

const ATTRIBUTE_VALUE_CLASS: &str = "com.amazonaws.dynamodb.v20120810.AttributeValue";
const STRING_CLASS: &str = "java.lang.String";

static VALUE: Member = Member::free("", Shape::Structure(&ATTRIBUTE_VALUE));
static TEXT: Member = Member::free("", Shape::String);
/// The name of an attribute, which may be as long as that.
static ATTRIBUTE_NAME: Member = Member::new("", Shape::String, &[Rule::MaxLength(65_535)]);
static BLOB: Member = Member::free("", Shape::Blob);

const ATTRIBUTE_MAP: Shape = Shape::Map(&VALUE, ATTRIBUTE_VALUE_CLASS);
const NAME_MAP: Shape = Shape::Map(&ATTRIBUTE_NAME, STRING_CLASS);

const NOT_NULL: &[Rule] = &[Rule::NotNull];
/// Constraints of names of tables and indexes.
const NAME: &[Rule] = &[Rule::Pattern, Rule::MinLength(3), Rule::MaxLength(255)];
const REQUIRED_NAME: &[Rule] = &[
    Rule::NotNull,
    Rule::Pattern,
    Rule::MinLength(3),
    Rule::MaxLength(255),
];
const TABLE_NAME: Member = Member::new("TableName", Shape::String, REQUIRED_NAME);
const RETURN_CONSUMED_CAPACITY: Member = Member::new(
    "ReturnConsumedCapacity",
    Shape::String,
    &[Rule::Enum(&["INDEXES", "TOTAL", "NONE"])],
);
const RETURN_ITEM_COLLECTION_METRICS: Member = Member::new(
    "ReturnItemCollectionMetrics",
    Shape::String,
    &[Rule::Enum(&["SIZE", "NONE"])],
);
