//! Encoded values taken apart one level at a time, borrowed and not yet decoded.

use super::tag;
use crate::encoding::Error;
use crate::encoding::reader::Reader;
use crate::number::OrderedDigits;
use crate::value::DEPTH_MAX;

/// One encoded value; neither text nor elements are checked yet.
pub(super) enum RawValue<'a> {
    S(&'a [u8]),
    N(OrderedDigits<'a>),
    B(&'a [u8]),
    Bool(bool),
    Null,
    M(Container<'a>),
    L(Container<'a>),
    Ss(Container<'a>),
    Ns(Container<'a>),
    Bs(Container<'a>),
}

impl<'a> RawValue<'a> {
    // Inlined, so that the caller's match takes the place of the value: moving it costs more than reading it.
    #[inline(always)]
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match reader.byte()? {
            tag::S => Self::S(reader.counted()?),
            tag::N => Self::N(reader.with(OrderedDigits::read)?),
            tag::B => Self::B(reader.counted()?),
            tag::FALSE => Self::Bool(false),
            tag::TRUE => Self::Bool(true),
            tag::NULL => Self::Null,
            tag::M => Self::M(Container::open(sized(reader)?)?),
            tag::L => Self::L(Container::open(sized(reader)?)?),
            tag::SS => Self::Ss(Container::open_set(sized(reader)?)?),
            tag::NS => Self::Ns(Container::open_set(sized(reader)?)?),
            tag::BS => Self::Bs(Container::open_set(sized(reader)?)?),
            other => return Err(Error::Tag(other)),
        })
    }
}

/// Steps over one value.
pub(super) fn skip(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.byte()? {
        tag::S | tag::B => {
            reader.counted()?;
        }
        tag::N => {
            reader.with(OrderedDigits::read)?;
        }
        tag::FALSE | tag::TRUE | tag::NULL => {}
        tag::M | tag::L | tag::SS | tag::NS | tag::BS => {
            sized(reader)?;
        }
        other => return Err(Error::Tag(other)),
    }
    Ok(())
}

/// The level of an attribute's own value is 1.
pub(super) fn check_level(level: usize) -> Result<(), Error> {
    if level > DEPTH_MAX {
        Err(Error::TooDeep)
    } else {
        Ok(())
    }
}

fn sized<'a>(reader: &mut Reader<'a>) -> Result<Reader<'a>, Error> {
    let size = u32::from_le_bytes(reader.array()?);
    let size = usize::try_from(size).map_err(|_| Error::Length)?;
    reader.take(size).map(Reader::new)
}

/// The elements of an item, a map, a list or a set.
pub(super) struct Container<'a> {
    remaining: usize,
    name_before: Option<&'a [u8]>,
    pub(super) reader: Reader<'a>,
}

impl<'a> Container<'a> {
    #[inline]
    pub(super) fn open(mut reader: Reader<'a>) -> Result<Self, Error> {
        let remaining = reader.varint()?;
        Ok(Self {
            remaining,
            name_before: None,
            reader,
        })
    }

    /// A set is never empty.
    fn open_set(reader: Reader<'a>) -> Result<Self, Error> {
        let set = Self::open(reader)?;
        if set.remaining == 0 {
            return Err(Error::Length);
        }
        Ok(set)
    }

    pub(super) fn len(&self) -> usize {
        self.remaining
    }

    /// Whether there is one more element, which the caller reads.
    #[inline]
    pub(super) fn next(&mut self) -> bool {
        let more = self.remaining > 0;
        self.remaining = self.remaining.saturating_sub(1);
        more
    }

    /// An attribute's name, which must come after the one before it; not known to be UTF-8.
    #[inline]
    pub(super) fn name(&mut self) -> Result<&'a [u8], Error> {
        let name = self.reader.counted()?;
        if self.name_before.is_some_and(|before| before >= name) {
            return Err(Error::Order);
        }
        self.name_before = Some(name);
        Ok(name)
    }

    /// Checks that nothing comes after the last element.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.reader.finish()
    }

    /// Reads all elements.
    pub(super) fn collect<T>(
        mut self,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        // The count is foreign: each element takes a byte at least, and of memory no more.
        let mut elements = Vec::with_capacity(self.remaining.min(64));
        while self.next() {
            elements.push(read(&mut self.reader)?);
        }
        self.finish()?;
        Ok(elements)
    }

    /// Reads all members of a set.
    pub(super) fn collect_ascending<T: Ord>(
        self,
        read: impl FnMut(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let members = self.collect(read)?;
        if members.is_sorted_by(|a, b| a < b) {
            Ok(members)
        } else {
            Err(Error::Order)
        }
    }
}
