//! Throws damaged input at what reads input from strangers: `scripts/fuzz`.
//!
//! ```text
//!   fuzz TARGET SECONDS [SEED]     as long as that; ends with 1 and a file when an input makes the target panic or hang
//!   fuzz TARGET FILE               one input again
//! ```
//!
//! Inputs begin with good ones ([`seeds`]) and are damaged ([`mutate`]). An input that a target answers in a way that
//! was not seen before is kept and damaged further, so that what is behind the first check is reached too. It needs
//! nothing but the stable compiler, whose checks for overflow and bounds are on.

mod mutate;
mod seeds;
mod targets;

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    env, fs,
    hash::{Hash as _, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{ExitCode, exit},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use mutate::Mutator;
use targets::Target;

/// Inputs that are kept at most.
const KEPT: usize = 4096;

/// How long one input may take.
const HANG: Duration = Duration::from_secs(20);

/// What runs now, for whoever watches for a hang.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let found = words.first().and_then(|name| Target::named(name));
    let (Some(mut target), Some(second)) = (found, words.get(1)) else {
        eprintln!("usage: fuzz {} SECONDS [SEED] | fuzz TARGET FILE", targets::NAMES.join("|"));
        return ExitCode::from(2);
    };
    let Ok(seconds) = second.parse() else {
        let input = fs::read(second).unwrap_or_default();
        println!("{}", target.run(&input));
        return ExitCode::SUCCESS;
    };
    let seed = words.get(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    run(&words[0], &mut target, Duration::from_secs(seconds), seed)
}

fn run(name: &str, target: &mut Target, limit: Duration, seed: u64) -> ExitCode {
    let current: Current = Arc::default();
    watch(name.to_owned(), Arc::clone(&current));
    let mut corpus = seeds::of(name);
    let mut mutator = Mutator::new(seed, &corpus);
    let (mut answers, mut count) = (BTreeSet::new(), 0_u64);
    let begin = Instant::now();
    for input in corpus.clone() {
        answers.insert(shape(&target.run(&input)));
    }
    while begin.elapsed() < limit {
        let input = mutator.next(&corpus);
        *lock(&current) = Some((Instant::now(), input.clone()));
        let answer = catch_unwind(AssertUnwindSafe(|| target.run(&input)));
        *lock(&current) = None;
        count += 1;
        match answer {
            Ok(answer) => {
                if answers.insert(shape(&answer)) && corpus.len() < KEPT {
                    corpus.push(input);
                }
            }
            Err(_) => {
                println!("{name}: an input makes it panic: {}", keep(name, &input).display());
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{name}: {count} inputs, {} different answers, no panic, no hang", answers.len());
    ExitCode::SUCCESS
}

/// An answer without what only names the input: numbers and words in quotes.
fn shape(answer: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut in_quotes = false;
    for letter in answer.chars() {
        in_quotes ^= ['"', '`'].contains(&letter);
        if !in_quotes && !letter.is_ascii_digit() {
            letter.hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Ends the program when one input takes too long.
fn watch(name: String, current: Current) {
    thread::spawn(move || {
        loop {
            thread::park_timeout(Duration::from_secs(1));
            let now = lock(&current).clone();
            if let Some((since, input)) = now
                && since.elapsed() > HANG
            {
                println!("{name}: an input takes more than {HANG:?}: {}", keep(&name, &input).display());
                exit(1);
            }
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes an input to a file, so that it can be tried again.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = env::temp_dir().join(format!("hythe-fuzz-{name}-{:016x}", hasher.finish()));
    if let Err(error) = fs::write(&path, input) {
        eprintln!("write {}: {error}", path.display());
    }
    path
}
