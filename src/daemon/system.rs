//! The system's clock and its random bytes, for those who may not ask themselves.

use super::clock;
use crate::{api::Source, model::time::Timestamp};

/// The real clock and the kernel's random bytes.
pub struct System;

impl Source for System {
    fn now(&self) -> Timestamp {
        clock::wall()
    }

    fn random(&self) -> [u8; 16] {
        random()
    }
}

/// Sixteen random bytes.
///
/// # Panics
/// On a kernel that has no source of random bytes at all.
#[must_use]
pub fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("a kernel that has booted has random bytes");
    bytes
}
