//! Reading ahead: one thread makes the bytes (takes them off the network, checks, decompresses, hashes), another uses them.
//!
//! Pieces go round between the two: full ones forward, empty ones back. So memory has a ceiling whatever the stream's
//! length, nothing is allocated once every piece is made, and the slower side sets the pace. A layer that is alone has
//! two processors work for it.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Pieces that go round.
const PIECES: usize = 4;
/// Bytes in a piece.
const PIECE: usize = 256 << 10;

/// The stream, on the side that uses it.
pub(crate) struct Ahead {
    arriving: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    /// What of the current piece is given.
    given: usize,
}

/// Has `source` read by a thread of its own while `work` uses what came of it. Both have ended when this returns.
///
/// # Errors
/// The thread could not be made.
pub(crate) fn ahead<T>(source: &mut (impl Read + Send), work: impl FnOnce(Ahead) -> T) -> io::Result<T> {
    let (full, arriving) = sync_channel(PIECES);
    let (empty, used) = sync_channel(PIECES);
    thread::scope(|scope| {
        let maker = thread::Builder::new().name("layer".into());
        maker.spawn_scoped(scope, move || make(source, &full, &used))?;
        Ok(work(Ahead { arriving, empty, current: Vec::new(), given: 0 }))
    })
}

/// Fills pieces until the end, the first error, or nobody wants more.
fn make(source: &mut impl Read, full: &SyncSender<io::Result<Vec<u8>>>, used: &Receiver<Vec<u8>>) {
    for made in 0.. {
        let mut piece = if made < PIECES {
            vec![0; PIECE]
        } else {
            let Ok(piece) = used.recv() else { return };
            piece
        };
        let (length, end) = fill(source, &mut piece);
        piece.truncate(length); // only the last is not full, and that one does not come back
        if length > 0 && full.send(Ok(piece)).is_err() {
            return;
        }
        match end {
            None => {}
            Some(Ok(())) => return,
            Some(Err(err)) => {
                let _ = full.send(Err(err)); // whoever wants no more does not want this either
                return;
            }
        }
    }
}

/// Reads until `piece` is full: how much is in it now, and how the stream has ended if it has.
fn fill(source: &mut impl Read, piece: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while filled < piece.len() {
        match source.read(&mut piece[filled..]) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(read) => filled += read,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return (filled, Some(Err(err))),
        }
    }
    (filled, None)
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.given == self.current.len()
            && let Ok(next) = self.arriving.recv()
        {
            let used = std::mem::replace(&mut self.current, next?);
            self.given = 0;
            if used.capacity() > 0 {
                // Whoever has made the last piece wants none back.
                let _ = self.empty.send(used);
            }
        }
        Ok(&self.current[self.given..])
    }

    fn consume(&mut self, length: usize) {
        self.given += length;
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of odd lengths, and then fails.
    struct Odd {
        left: Vec<u8>,
        then: Option<io::ErrorKind>,
        reads: usize,
    }

    impl Read for Odd {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            if self.reads.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = (self.reads * 7919 % PIECE).max(1).min(buffer.len()).min(self.left.len());
            buffer[..length].copy_from_slice(&self.left[..length]);
            self.left.drain(..length);
            if length == 0 { self.then.take().map_or(Ok(0), |kind| Err(kind.into())) } else { Ok(length) }
        }
    }

    fn bytes() -> Vec<u8> {
        (0..PIECE * PIECES * 3).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn every_byte_comes_once_and_in_order() {
        let mut source = Odd { left: bytes(), then: None, reads: 0 };
        let mut read = Vec::new();
        ahead(&mut source, |mut pieces| pieces.read_to_end(&mut read)).unwrap().unwrap();
        assert!(read == bytes());
    }

    #[test]
    fn an_error_comes_after_what_was_read_before_it() {
        let mut source = Odd { left: bytes(), then: Some(io::ErrorKind::ConnectionAborted), reads: 0 };
        let mut read = Vec::new();
        let failed = ahead(&mut source, |mut pieces| pieces.read_to_end(&mut read)).unwrap().unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionAborted);
        assert!(read == bytes());
    }

    #[test]
    fn who_wants_no_more_is_not_kept_waiting_and_memory_has_a_ceiling() {
        let mut source = Odd { left: bytes(), then: None, reads: 0 };
        let first = ahead(&mut source, |mut pieces| pieces.read(&mut [0; 10]).unwrap()).unwrap();
        assert_eq!(first, 10);
        let read = bytes().len() - source.left.len();
        assert!(read <= PIECE * (PIECES + 2), "{read} bytes were read ahead");
    }
}
