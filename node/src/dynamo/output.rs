//! Writes answers as JSON straight into their buffer.

use std::io::Write as _;

/// A JSON object that is being written.
#[derive(Debug)]
pub struct Object<'o> {
    out: &'o mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    /// A member whose value `write` appends.
    pub fn value(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
    }

    /// A member whose name comes from a user.
    pub fn value_of(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        string(name, self.out);
        self.out.push(b':');
        write(self.out);
    }

    pub fn string(&mut self, name: &str, value: &str) {
        self.value(name, |out| string(value, out));
    }

    pub fn bool(&mut self, name: &str, value: bool) {
        self.value(name, |out| {
            out.extend_from_slice(if value { b"true" } else { b"false" })
        });
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.value(name, |out| integer(value, out));
    }

    /// Capacity units and times: as many decimals as they need, at least one.
    pub fn float(&mut self, name: &str, value: f64) {
        self.value(name, |out| {
            // Writing to a vector does not fail.
            let _ = write!(out, "{value:?}");
        });
    }

    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.value(name, |out| object(out, fill));
    }

    pub fn array<T>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = T>,
        write: impl FnMut(T, &mut Vec<u8>),
    ) {
        self.value(name, |out| array(out, elements, write));
    }
}

/// Appends `{…}`.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fill(&mut Object { out, empty: true });
    out.push(b'}');
}

/// Appends `[…]`.
pub fn array<T>(
    out: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (i, element) in elements.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

/// Appends a JSON string.
pub fn string(value: &str, out: &mut Vec<u8>) {
    // Serializing a string into a vector does not fail.
    let _ = serde_json::to_writer(out, value);
}

fn integer(value: u64, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{value}");
}

/// Appends the JSON of an encoded item.
pub fn item(encoded: &[u8], out: &mut Vec<u8>) {
    super::values::write_json(encoded, out);
}
