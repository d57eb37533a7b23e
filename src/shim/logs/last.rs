//! The last lines of a container's output, kept in memory until it ends: evidence that no rotation takes away.

use std::collections::VecDeque;

use super::Stream;
use crate::model::{task::LastLine, time::Timestamp};

/// Lines that are given at most.
const LINES: usize = 20;

/// Bytes that are kept at most.
const BYTES: usize = 4 << 10;

/// Pieces that are kept at most, so that a container that writes byte by byte costs no more.
const PIECES: usize = 256;

/// The end of a container's output.
#[derive(Debug, Default)]
pub(super) struct Last {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// Whether something in front of the first piece is gone.
    is_cut: bool,
}

#[derive(Debug)]
struct Piece {
    at: Timestamp,
    stream: Stream,
    bytes: Vec<u8>,
}

impl Last {
    /// Takes what `stream` gave.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8], at: Timestamp) {
        let from = bytes.len().saturating_sub(BYTES);
        if from > 0 {
            self.pieces.clear();
            (self.bytes, self.is_cut) = (0, true);
        }
        let bytes = &bytes[from..];
        self.bytes += bytes.len();
        match self.pieces.back_mut().filter(|piece| piece.stream == stream && piece.at == at) {
            Some(piece) => piece.bytes.extend_from_slice(bytes),
            None => self.pieces.push_back(Piece { at, stream, bytes: bytes.to_vec() }),
        }
        while self.bytes > BYTES || self.pieces.len() > PIECES {
            let too_many = self.bytes.saturating_sub(BYTES);
            let Some(first) = self.pieces.front_mut() else { return };
            self.is_cut = true;
            if first.bytes.len() <= too_many || too_many == 0 {
                self.bytes -= first.bytes.len();
                self.pieces.pop_front();
            } else {
                first.bytes.drain(..too_many);
                self.bytes -= too_many;
            }
        }
    }

    /// Gives the last lines, the oldest first, and forgets them.
    pub(super) fn give(&mut self) -> Vec<LastLine> {
        let pieces = std::mem::take(self);
        let mut lines: Vec<(Stream, Timestamp, Vec<u8>, bool)> = Vec::new();
        for piece in &pieces.pieces {
            for part in piece.bytes.split_inclusive(|&byte| byte == b'\n') {
                let whole = part.strip_suffix(b"\n");
                let text = whole.unwrap_or(part);
                let open = lines.iter_mut().rev().find(|line| line.0 == piece.stream);
                match open.filter(|line| !line.3) {
                    Some(line) => {
                        line.2.extend_from_slice(text);
                        line.3 = whole.is_some();
                    }
                    None => lines.push((piece.stream, piece.at, text.to_vec(), whole.is_some())),
                }
            }
        }
        // The first may be the end of a longer line; alone it is better than nothing.
        let first = usize::from(pieces.is_cut && lines.len() > 1).max(lines.len().saturating_sub(LINES));
        let last = lines.into_iter().skip(first);
        last.map(|(stream, at, bytes, _)| LastLine {
            at,
            stream: stream.name().to_owned(),
            line: String::from_utf8_lossy(&bytes).into_owned(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(last: &mut Last) -> Vec<String> {
        last.give().into_iter().map(|line| format!("{} {}", line.stream, line.line)).collect()
    }

    #[test]
    fn streams_are_told_apart_and_pieces_become_lines() {
        let mut last = Last::default();
        for (stream, text) in
            [(Stream::Stdout, "one\nhalf "), (Stream::Stderr, "oops\n"), (Stream::Stdout, "a line\nno end")]
        {
            last.take(stream, text.as_bytes(), Timestamp(7));
        }
        assert_eq!(said(&mut last), ["stdout one", "stdout half a line", "stderr oops", "stdout no end"]);
        assert_eq!(last.give(), []);
    }

    #[test]
    fn lines_and_bytes_have_a_ceiling() {
        let mut last = Last::default();
        for number in 0..1000 {
            last.take(Stream::Stdout, format!("{number}\n").as_bytes(), Timestamp(number));
        }
        let lines = said(&mut last);
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "stdout 980", "stdout 999"));
        let long = format!("{}\n{}\nend\n", "x".repeat(9000), "y".repeat(3000));
        last.take(Stream::Stdout, long.as_bytes(), Timestamp(1));
        let lines = last.give();
        assert_eq!(lines.len(), 2, "a line without its begin is left out");
        assert_eq!((lines[0].line.len(), lines[1].line.as_str()), (3000, "end"));
        last.take(Stream::Stdout, &[b'z'; 9000], Timestamp(1));
        assert_eq!(last.give()[0].line.len(), BYTES);
    }

    #[test]
    fn a_container_that_writes_byte_by_byte_costs_no_more() {
        let mut last = Last::default();
        for at in 0..100_000 {
            let stream = if at % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            last.take(stream, b"x", Timestamp(at));
        }
        assert!(last.pieces.len() <= PIECES && last.bytes <= BYTES);
    }
}
