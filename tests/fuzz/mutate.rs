//! Damage: to bytes, and to what the bytes of JSON and tar files mean.

use std::collections::BTreeSet;

/// Numbers at the edges of things.
const EDGES: [i64; 16] = [
    0,
    1,
    -1,
    2,
    64,
    127,
    128,
    255,
    4095,
    4096,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
];

/// Words that mean something to somebody.
const WORDS: [&str; 22] = [
    "",
    "/",
    ".",
    "..",
    "../../..",
    "/proc/self/fd/7",
    "\\u0000",
    "null",
    "true",
    "[]",
    "{}",
    "[[[[",
    "1e400",
    "\\ud800",
    "size=",
    "ro",
    "rbind",
    "SCMP_ACT_NOTIFY",
    "SCMP_CMP_MASKED_EQ",
    "\"",
    "\n",
    "sha256:",
];

/// The longest input.
const LONGEST: usize = 64 << 10;

/// Makes inputs of others.
pub struct Mutator {
    state: u64,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// One that takes words from `corpus` too. The same seed damages in the same way.
    pub fn new(seed: u64, corpus: &[Vec<u8>]) -> Self {
        let mut words: BTreeSet<Vec<u8>> = WORDS.iter().map(|word| word.as_bytes().to_vec()).collect();
        words.extend(EDGES.iter().map(|number| number.to_string().into_bytes()));
        for input in corpus {
            let pieces = input.split(|byte| b"\",:{}[]\0 ".contains(byte));
            words.extend(pieces.filter(|piece| (2..60).contains(&piece.len())).map(<[u8]>::to_vec));
        }
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, words: words.into_iter().collect() }
    }

    /// A new input.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(6) {
            self.damage(&mut input, corpus);
        }
        input.truncate(LONGEST);
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = u8::try_from(self.below(256)).unwrap_or(0),
            2 => {
                let end = (at + 1 + self.below(40)).min(input.len());
                input.drain(at.min(end)..end);
            }
            3 => {
                let end = (at + 1 + self.below(400)).min(input.len());
                let piece = input[at.min(end)..end].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            4 => {
                let word = self.word();
                input.splice(at..at, word);
            }
            5 | 6 => self.replace_token(input),
            7 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // A whole block of a tar file: its header, taken away or twice.
            _ => {
                let blocks = input.len() / 512;
                if blocks > 0 {
                    let block = self.below(blocks) * 512;
                    let copy = input[block..block + 512].to_vec();
                    if self.below(2) == 0 {
                        input.drain(block..block + 512);
                    } else {
                        input.splice(block..block, copy);
                    }
                }
            }
        }
    }

    /// Puts a word where another is: between quotes, or where a number or a word stands alone.
    fn replace_token(&mut self, input: &mut Vec<u8>) {
        let is_edge = |byte: &u8| b"\",:{}[]\0 \n".contains(byte);
        let from = self.below(input.len() + 1);
        let Some(start) = input[from..].iter().position(|byte| !is_edge(byte)) else { return };
        let start = from + start;
        let end = input[start..].iter().position(is_edge).map_or(input.len(), |length| start + length);
        let word = self.word();
        input.splice(start..end, word);
    }

    fn word(&mut self) -> Vec<u8> {
        let at = self.below(self.words.len());
        self.words[at].clone()
    }

    /// A number below `limit`, which is not zero.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % limit.max(1) as u64).unwrap_or(0)
    }
}
