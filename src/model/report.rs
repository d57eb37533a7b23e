//! An error as people read it: it and its causes on one line.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("pull web:1")]
        Pull(#[source] Box<Failure>),
        #[error("store: {0}")]
        Store(#[source] std::fmt::Error),
        #[error(transparent)]
        Through(#[from] std::fmt::Error),
    }

    #[test]
    fn every_cause_is_told_once() {
        let cause = std::fmt::Error.to_string();
        let pull = |inner| chain(&Failure::Pull(Box::new(inner)));
        assert_eq!(pull(Failure::Through(std::fmt::Error)), format!("pull web:1: {cause}"));
        assert_eq!(pull(Failure::Store(std::fmt::Error)), format!("pull web:1: store: {cause}"));
    }
}
