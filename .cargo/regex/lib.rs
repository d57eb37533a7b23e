//! The part of `regex` that the crates around us use, by `regex-lite`: one pattern for lists of processors. Digits are
//! those of ASCII then, which is what such a list has.

pub use regex_lite::*;
