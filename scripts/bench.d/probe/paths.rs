//! Paths that wait for nobody, so often that they can be counted: `paths NAME ROUNDS`.
//!
//! What they take is not timed here. `tests/integration/task/paths.rs` runs them below a program that counts the
//! instructions of [`inside`], which it knows by its name; the allocations are counted here.

use std::hint::black_box;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe::image::digest::{Algorithm, Hasher};
use hythe::image::entries::Entries;
use hythe::shim::logs::{Stream, writer::Writer};
use hythe::shim::spec::LogSpec;
use serde_json::json;

use crate::{Failure, numbers};

/// Bytes of output that are taken at a time, in lines of 100.
const OUTPUT: usize = 64_000;
/// Files of an archive, and bytes of each.
const FILES: usize = 20;
const FILE: usize = 8 << 10;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Does `work`, and counts its allocations.
pub(crate) fn counted<T>(work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let seen = allocation_counter::measure(|| result = Some(inside(work)));
    ALLOCATIONS.fetch_add(seen.count_total, Ordering::Relaxed);
    result.unwrap_or_else(|| unreachable!("what was measured has run"))
}

#[inline(never)]
fn inside<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// The allocations that were counted since this was asked last.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.swap(0, Ordering::Relaxed)
}

/// Runs the path that `words` name.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let [path, rounds] = words else { return Err("paths NAME ROUNDS".into()) };
    let rounds: u32 = rounds.parse()?;
    match path.as_str() {
        "output" => output(tempfile::tempdir()?.path(), rounds),
        "archive" => archive(rounds)?,
        other => return Err(format!("there is no path {other:?}").into()),
    }
    numbers::answer(&json!({ "allocations": allocations() }))
}

/// A container's output into its file.
fn output(place: &Path, rounds: u32) {
    let mut text = "x".repeat(99).into_bytes();
    text.push(b'\n');
    let text = text.repeat(OUTPUT / 100);
    let spec = LogSpec { max_size: 1 << 30, ..LogSpec::at(place.join("log")) };
    let (mut writer, mut batch) = (Writer::new(spec), Vec::new());
    // The first time opens the file and makes the room to work in.
    writer.take(Stream::Stdout, &text, 1, &mut batch);
    for round in 0..rounds {
        counted(|| writer.take(Stream::Stdout, &text, u64::from(round), &mut batch));
    }
}

/// A layer's archive, read entry by entry and hashed.
fn archive(rounds: u32) -> Result<(), Failure> {
    let mut archive = tar::Builder::new(Vec::new());
    for number in 0..FILES {
        let mut header = tar::Header::new_gnu();
        header.set_size(FILE as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("usr/share/part/file{number}"), &*vec![b'x'; FILE])?;
    }
    let archive = archive.into_inner()?;
    let mut data = vec![0; FILE];
    for _ in 0..rounds {
        let read = counted(|| {
            let (mut entries, mut hasher) = (Entries::new(&*archive), Hasher::new(Algorithm::Sha256));
            let mut count = 0;
            while entries.next_entry()?.is_some() {
                entries.read_exact(&mut data)?;
                hasher.update(&data);
                count += 1;
            }
            black_box(hasher.finish());
            Ok::<_, io::Error>(count)
        })?;
        if read != FILES {
            return Err("not every file was read".into());
        }
    }
    Ok(())
}
