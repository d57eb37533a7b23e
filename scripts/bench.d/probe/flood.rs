//! What a container runs to write a lot: `flood MEGABYTES [PER SECOND]`, numbered lines of 100 bytes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

const LINE: usize = 100;
const LINES_AT_ONCE: usize = 640;

/// Writes the lines.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let number = |at: usize| words.get(at).map(|word| word.parse::<u32>()).transpose();
    let total = u64::from(number(0)?.ok_or("flood MEGABYTES [PER SECOND]")?) * 1_000_000;
    let rate = number(1)?;
    let mut out = std::io::stdout().lock();
    let begun = Instant::now();
    let (mut written, mut line) = (0_u64, 0_u64);
    let mut text = String::with_capacity(LINE * LINES_AT_ONCE);
    while written < total {
        text.clear();
        for _ in 0..LINES_AT_ONCE {
            let filling = LINE - 1 - 12;
            writeln!(text, "{line:012}{:x<filling$}", "")?;
            line += 1;
        }
        out.write_all(text.as_bytes())?;
        written += text.len() as u64;
        if let Some(rate) = rate {
            let due = Duration::from_micros(written / u64::from(rate.max(1)));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    Ok(out.flush()?)
}
