//! What the tests of the whole are made of; begin at [`sim`].

pub mod sim;
