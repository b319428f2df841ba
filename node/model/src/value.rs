//! The ten types of the DynamoDB data model.
//!
//! Shapes follow the service's `AttributeValue`; limits (400 KiB items, 32 levels, 38 digits) are
//! checked where values enter: [`check_item`], the constructors of sets, [`crate::json`].

mod limits;
mod sets;

use std::collections::BTreeMap;

use base64::Engine;
use bytes::Bytes;

use crate::number::{self, Number};

pub(crate) use limits::{CONTAINER_SIZE, ELEMENT_SIZE};
pub use limits::{DEPTH_MAX, ITEM_SIZE_MAX, check_item, item_size};

/// Attributes by name. Ordered, so that encodings of equal items are equal bytes.
pub type Item = BTreeMap<String, AttributeValue>;

/// One attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    S(String),
    N(Number),
    B(Bytes),
    Bool(bool),
    Null,
    M(Item),
    L(Vec<AttributeValue>),
    /// A set of strings: sorted, without duplicates, not empty.
    Ss(Vec<String>),
    /// A set of numbers: sorted, without duplicates, not empty.
    Ns(Vec<Number>),
    /// A set of binaries: sorted, without duplicates, not empty.
    Bs(Vec<Bytes>),
}

impl AttributeValue {
    /// The type as the service's JSON and messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }
}

/// Why a value is refused: the service's `ValidationException`s, word for word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Number(#[from] number::Error),
    #[error(
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
    )]
    NoType,
    #[error(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    )]
    ManyTypes,
    #[error(
        "One or more parameter values were invalid: Null attribute value types must have the value of true"
    )]
    NullNotTrue,
    #[error("One or more parameter values were invalid: An string set  may not be empty")]
    EmptyStringSet,
    #[error("One or more parameter values were invalid: An number set  may not be empty")]
    EmptyNumberSet,
    #[error("One or more parameter values were invalid: Binary sets should not be empty")]
    EmptyBinarySet,
    #[error(
        "One or more parameter values were invalid: An string set may not have a null string as a member"
    )]
    NullInStringSet,
    #[error(
        "One or more parameter values were invalid: An number set may not have a null string as a member"
    )]
    NullInNumberSet,
    #[error(
        "One or more parameter values were invalid: Binary sets may not contain null or empty values"
    )]
    NullInBinarySet,
    #[error(
        "One or more parameter values were invalid: Input collection [{}] contains duplicates.",
        .sent.join(", ")
    )]
    DuplicateStrings { sent: Vec<String> },
    #[error("Input collection contains duplicates")]
    DuplicateNumbers,
    #[error(
        "One or more parameter values were invalid: Input collection [{}]of type BS contains duplicates.",
        base64(.sent).join(", ")
    )]
    DuplicateBinaries { sent: Vec<Bytes> },
    #[error(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )]
    TooDeep,
    #[error("Empty attribute name")]
    EmptyName,
    #[error("Attribute name is too large, must be less than 65536 bytes")]
    NameTooLong,
    #[error("Item size has exceeded the maximum allowed size")]
    ItemTooLarge,
}

impl Error {
    /// The words of the service's newer validation layer.
    ///
    /// The service checks values in two layers, by operation: as captured by
    /// paritysuite/dynamodb-conformance (`valueLayers`), PutItem, UpdateItem, DeleteItem, GetItem,
    /// BatchGetItem and Query use this one; BatchWriteItem, Scan and transactions the older one,
    /// which [`std::fmt::Display`] speaks. They differ for empty numbers and for duplicates.
    pub fn current_wording(&self) -> String {
        const INVALID: &str = "One or more parameter values were invalid: Input collection";
        match self {
            Self::Number(error) => error.current_wording(),
            Self::DuplicateStrings { sent } => {
                let members: Vec<_> = sets::up_to_first_repeat_sorted(sent)
                    .map(|member| format!("\"{member}\""))
                    .collect();
                format!("{INVALID} [{}] contains duplicates.", members.join(", "))
            }
            Self::DuplicateNumbers => format!("{INVALID} contains duplicates."),
            Self::DuplicateBinaries { sent } => {
                let listed: Vec<_> = sets::up_to_first_repeat_sorted(sent).cloned().collect();
                let members: Vec<_> = base64(&listed)
                    .into_iter()
                    .map(|member| format!("\"{member}\""))
                    .collect();
                format!(
                    "{INVALID} [{}]of type BS contains duplicates.",
                    members.join(",")
                )
            }
            _ => self.to_string(),
        }
    }
}

fn base64(members: &[Bytes]) -> Vec<String> {
    let encode = |member| base64::engine::general_purpose::STANDARD.encode(member);
    members.iter().map(encode).collect()
}
