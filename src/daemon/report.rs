//! Errors as one line.

use std::{error::Error, iter};

/// The whole chain: `a: b: c`. A part that its outer one has told already is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = String::new();
    for part in iter::successors(Some(error), |&error| error.source()).map(ToString::to_string) {
        if line.is_empty() {
            line = part;
        } else if !line.ends_with(&part) {
            line.push_str(": ");
            line.push_str(&part);
        }
    }
    line
}
