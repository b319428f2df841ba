//! A cursor over foreign bytes, and LEB128 lengths.

use super::Error;

/// Reads off the front of a slice; never past its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A LEB128 number of at most five bytes, in its shortest form.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<usize, Error> {
        match *self.rest {
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(usize::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<usize, Error> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Error::Length);
                }
                return usize::try_from(value).map_err(|_| Error::Length);
            }
        }
        Err(Error::Length)
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Error> {
        let len = self.varint()?;
        self.take(len)
    }

    /// Hands the rest to a decoder that returns what it left of it.
    pub(super) fn with<T, E>(
        &mut self,
        read: impl FnOnce(&'a [u8]) -> Result<(T, &'a [u8]), E>,
    ) -> Result<T, Error>
    where
        Error: From<E>,
    {
        let (value, rest) = read(self.rest)?;
        self.rest = rest;
        Ok(value)
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Trailing)
        }
    }
}

/// Appends a LEB128 number. Lengths in a value are bounded by the request's size, far below 2^35.
pub(super) fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes behind their length.
pub(super) fn put_counted(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len(), out);
    out.extend_from_slice(bytes);
}
