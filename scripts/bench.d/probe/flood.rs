//! What a container runs to write a lot: `flood MEGABYTES [PER SECOND]`, numbered lines of 100 bytes.
//!
//! Only the numbers are written anew, so that the row is about who takes the lines and not about who makes them.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

const LINE: usize = 100;
const LINES_AT_ONCE: usize = 640;
const DIGITS: usize = 12;

/// Writes the lines.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let number = |at: usize| words.get(at).map(|word| word.parse::<u32>()).transpose();
    let total = u64::from(number(0)?.ok_or("flood MEGABYTES [PER SECOND]")?) * 1_000_000;
    let rate = number(1)?;
    let mut out = std::io::stdout().lock();
    let begun = Instant::now();
    let (mut written, mut line) = (0_u64, 0_u64);
    let filling = "x".repeat(LINE - DIGITS - 1);
    let mut text = format!("{:DIGITS$}{filling}\n", "").repeat(LINES_AT_ONCE).into_bytes();
    while written < total {
        for room in text.chunks_exact_mut(LINE) {
            let mut rest = line;
            for digit in room[..DIGITS].iter_mut().rev() {
                *digit = b"0123456789"[(rest % 10) as usize];
                rest /= 10;
            }
            line += 1;
        }
        out.write_all(&text)?;
        written += text.len() as u64;
        if let Some(rate) = rate {
            let due = Duration::from_micros(written / u64::from(rate.max(1)));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    Ok(out.flush()?)
}
