//! What the loop waits on, as the one number that epoll gives back.

use crate::kernel::event::Token;

/// What became ready. Containers are named by their place in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The moment that a plan asked for.
    Timer,
    /// A signal to the shim itself.
    Signals,
    /// Somebody at the door.
    Listener,
    /// A connection, by its number.
    Connection(u32),
    /// The end of a container's process.
    Container(u32),
    /// The end of a health probe.
    Probe(u32),
    /// The end of a session, by its number.
    Session(u32),
    /// Standard output.
    Stdout(u32),
    /// Standard error.
    Stderr(u32),
    /// What a container's health probe says.
    Said(u32),
    /// Whoever takes a container's output.
    Taker(u32),
    /// Somebody at the door of the task's metadata.
    Door,
    /// Somebody who came through it, by a number.
    Visitor(u32),
}

impl Source {
    /// The number.
    pub(super) fn token(self) -> Token {
        let (kind, which) = match self {
            Self::Timer => (0, 0),
            Self::Signals => (1, 0),
            Self::Listener => (2, 0),
            Self::Connection(number) => (3, number),
            Self::Container(at) => (4, at),
            Self::Probe(at) => (5, at),
            Self::Stdout(at) => (6, at),
            Self::Stderr(at) => (7, at),
            Self::Session(number) => (8, number),
            Self::Door => (9, 0),
            Self::Visitor(number) => (10, number),
            Self::Taker(at) => (11, at),
            Self::Said(at) => (12, at),
        };
        Token(kind << 32 | u64::from(which))
    }

    /// What has this number; none when nothing has.
    pub(super) fn of(token: Token) -> Option<Self> {
        let which = u32::try_from(token.0 & u64::from(u32::MAX)).ok()?;
        Some(match token.0 >> 32 {
            0 => Self::Timer,
            1 => Self::Signals,
            2 => Self::Listener,
            3 => Self::Connection(which),
            4 => Self::Container(which),
            5 => Self::Probe(which),
            6 => Self::Stdout(which),
            7 => Self::Stderr(which),
            8 => Self::Session(which),
            9 => Self::Door,
            10 => Self::Visitor(which),
            11 => Self::Taker(which),
            12 => Self::Said(which),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_comes_back_from_its_number() {
        let many = |at| {
            [
                Source::Connection(at),
                Source::Container(at),
                Source::Probe(at),
                Source::Stdout(at),
                Source::Session(at),
                Source::Taker(at),
                Source::Said(at),
                Source::Visitor(at),
            ]
        };
        let sources = [many(0), many(9), many(u32::MAX)].concat();
        for source in
            sources.into_iter().chain([Source::Timer, Source::Signals, Source::Listener, Source::Door])
        {
            assert_eq!(Source::of(source.token()), Some(source));
        }
        assert_eq!(Source::of(Token(u64::MAX)), None);
    }
}
