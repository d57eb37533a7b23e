//! Whole lines out of pieces of output, for whoever takes no halves.

use memchr::memchr;

use super::Stream;

/// The longest piece of a line that is given at a time, as in Docker.
pub(super) const LONGEST: usize = 16 << 10;

/// The begins of lines that have not ended, one of each stream.
#[derive(Debug, Default)]
pub(super) struct Lines {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Lines {
    /// Takes what `stream` gave. Each line that has ended is given with `true`, each piece of a longer one with `false`.
    pub(super) fn push(&mut self, stream: Stream, mut bytes: &[u8], mut give: impl FnMut(&[u8], bool)) {
        let begun = self.of(stream);
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if begun.is_empty() && line.len() <= LONGEST {
                give(line, true);
                continue;
            }
            begun.extend_from_slice(line);
            cut(begun, &mut give);
            give(begun, true);
            begun.clear();
        }
        begun.extend_from_slice(bytes);
        cut(begun, &mut give);
        if begun.is_empty() {
            // Nothing is kept for a container that ends its lines.
            *begun = Vec::new();
        }
    }

    /// Gives the begins that will not end any more.
    pub(super) fn end(&mut self, mut give: impl FnMut(Stream, &[u8])) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let begun = std::mem::take(self.of(stream));
            if !begun.is_empty() {
                give(stream, &begun);
            }
        }
    }

    fn of(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr | Stream::Note => &mut self.stderr,
        }
    }
}

/// Gives pieces of a line until what is left is no longer than one.
fn cut(begun: &mut Vec<u8>, give: &mut impl FnMut(&[u8], bool)) {
    let mut given = 0;
    while begun.len() - given > LONGEST {
        let end = boundary(&begun[given..], LONGEST);
        give(&begun[given..given + end], false);
        given += end;
    }
    begun.drain(..given);
}

/// Where to cut near `at`, so that a letter of UTF-8 stays whole.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let continues = |at: &usize| bytes.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (at.saturating_sub(3)..=at).rev().find(|at| !continues(at)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(lines: &mut Lines, bytes: &[u8]) -> Vec<(String, bool)> {
        let mut given = Vec::new();
        lines.push(Stream::Stdout, bytes, |line, whole| {
            given.push((String::from_utf8(line.to_vec()).unwrap(), whole));
        });
        given
    }

    #[test]
    fn lines_are_whole_whatever_pieces_they_came_in() {
        let mut lines = Lines::default();
        assert_eq!(push(&mut lines, b"one\ntw"), [("one".to_owned(), true)]);
        assert_eq!(push(&mut lines, b"o"), []);
        assert_eq!(push(&mut lines, b"\n\nrest"), [("two".to_owned(), true), (String::new(), true)]);
        lines.push(Stream::Stderr, b"other", |_, _| panic!("it has not ended"));
        let mut left = Vec::new();
        lines.end(|stream, line| left.push((stream, line.to_vec())));
        assert_eq!(left, [(Stream::Stdout, b"rest".to_vec()), (Stream::Stderr, b"other".to_vec())]);
        lines.end(|_, _| panic!("it was given already"));
    }

    #[test]
    fn a_long_line_comes_in_pieces_and_no_letter_is_cut() {
        let mut lines = Lines::default();
        let long = format!("{}é{}", "x".repeat(LONGEST - 1), "y".repeat(LONGEST));
        let pieces = push(&mut lines, long.as_bytes());
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[0].0.len(), pieces[0].1), (LONGEST - 1, false));
        let rest = push(&mut lines, b"\n");
        assert_eq!(rest, [("yy".to_owned(), true)]);
        let all: String = pieces.into_iter().chain(rest).map(|(piece, _)| piece).collect();
        assert_eq!(all, long);
    }
}
