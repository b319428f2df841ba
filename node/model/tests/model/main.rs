//! Examples and properties of the data model, one file a subject.

mod number;
