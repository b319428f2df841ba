//! The DynamoDB model: values, numbers, expressions, and the encodings of keys and items. Pure.

pub mod encoding;
pub mod expression;
pub mod index;
pub mod json;
pub mod number;
pub mod schema;
pub mod value;

pub use number::Number;
pub use value::{AttributeValue, Item};
