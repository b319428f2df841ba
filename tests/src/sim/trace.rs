//! What happened in a run: a checksum of all of it always, and its text when it is asked for.

use std::fmt::Write as _;

/// Lines and their checksum.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: u64,
    text: Option<String>,
}

impl Trace {
    pub fn new(with_text: bool) -> Trace {
        Trace {
            text: with_text.then(String::new),
            ..Trace::default()
        }
    }

    /// Notes an event by numbers that say all about it, and by words that are only made when the text is wanted.
    pub fn note(&mut self, at_us: u64, numbers: &[u64], words: impl FnOnce() -> String) {
        self.lines += 1;
        for number in [at_us].iter().chain(numbers) {
            self.hash = (self.hash ^ number)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        if let Some(text) = &mut self.text {
            let words = words();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{:>12.6} {words}", at_us as f64 / 1e6);
        }
    }

    pub fn has_text(&self) -> bool {
        self.text.is_some()
    }

    pub fn digest(&self) -> (u64, u64) {
        (self.hash, self.lines)
    }

    pub fn into_text(self) -> Option<String> {
        self.text
    }
}
