//! The service's limits on items and how it counts them.
//!
//! Sizes follow "DynamoDB item sizes and formats" of the developer guide: names and strings count
//! their UTF-8 bytes, binaries their raw bytes, BOOL and NULL one byte, a map or list three bytes
//! and one for each element, a set its members; numbers as [`Number::size_bytes`] says.
//!
//! [`Number::size_bytes`]: crate::number::Number::size_bytes

use super::{AttributeValue, Error, Item};

/// The largest item, names included: 400 KiB.
pub const ITEM_SIZE_MAX: usize = 400 * 1024;
/// Levels of nesting; an attribute's own value is on level 1.
pub const DEPTH_MAX: usize = 32;
/// The longest attribute name in bytes.
const NAME_LEN_MAX: usize = 65_535;
/// What a map or a list counts besides its elements.
pub(crate) const CONTAINER_SIZE: usize = 3;
/// What a map or a list counts for each element besides the element itself.
pub(crate) const ELEMENT_SIZE: usize = 1;

impl AttributeValue {
    /// Bytes that the service counts for this value, without a name.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size_bytes(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::M(map) => CONTAINER_SIZE + ELEMENT_SIZE * map.len() + item_size(map),
            Self::L(list) => {
                let elements = list.iter().map(|value| ELEMENT_SIZE + value.size_bytes());
                CONTAINER_SIZE + elements.sum::<usize>()
            }
            Self::Ss(members) => members.iter().map(String::len).sum(),
            Self::Ns(members) => members.iter().map(|number| number.size_bytes()).sum(),
            Self::Bs(members) => members.iter().map(|bytes| bytes.len()).sum(),
        }
    }

    /// Refuses a value with more than [`DEPTH_MAX`] levels, or with a name in it that is too long.
    ///
    /// # Errors
    /// [`Error::TooDeep`], [`Error::NameTooLong`].
    pub fn check_depth(&self) -> Result<(), Error> {
        self.check_depth_from(1)
    }

    /// Goes no deeper than the limit itself.
    fn check_depth_from(&self, level: usize) -> Result<(), Error> {
        if level > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        match self {
            Self::M(map) => map.iter().try_for_each(|(name, value)| {
                if name.len() > NAME_LEN_MAX {
                    return Err(Error::NameTooLong);
                }
                value.check_depth_from(level + 1)
            }),
            Self::L(list) => list
                .iter()
                .try_for_each(|value| value.check_depth_from(level + 1)),
            _ => Ok(()),
        }
    }
}

/// Bytes that the service counts for an item: names and values.
pub fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value.size_bytes())
        .sum()
}

/// Checks all that holds for every item before it is stored: names, nesting, size. Returns the size.
///
/// # Errors
/// [`Error::EmptyName`], [`Error::NameTooLong`], [`Error::TooDeep`], [`Error::ItemTooLarge`].
pub fn check_item(item: &Item) -> Result<usize, Error> {
    for (name, value) in item {
        if name.is_empty() {
            return Err(Error::EmptyName);
        }
        if name.len() > NAME_LEN_MAX {
            return Err(Error::NameTooLong);
        }
        value.check_depth()?;
    }
    let size = item_size(item);
    if size > ITEM_SIZE_MAX {
        return Err(Error::ItemTooLarge);
    }
    Ok(size)
}
