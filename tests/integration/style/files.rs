//! Rules for one file at a time.

use std::{collections::BTreeSet, path::Path};

use super::source::{self, Source};

/// A file longer than this does more than one thing. Its unit tests do not count.
const LONGEST: usize = 500;

fn all_rust() -> Vec<Source> {
    ["src", "rootfs-tools", "tests"].iter().flat_map(|directory| source::rust_files(directory)).collect()
}

/// Lines of `code` with one of `words`, as `file:line`.
fn places(file: &Source, code: &str, words: &[&str]) -> Vec<String> {
    code.lines()
        .enumerate()
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(number, line)| format!("{}:{}: {}", file.path.display(), number + 1, line.trim()))
        .collect()
}

#[track_caller]
fn nowhere(found: &[String], why: &str) {
    assert!(found.is_empty(), "{why}\n{}", found.join("\n"));
}

#[test]
fn only_the_kernel_room_is_unsafe() {
    let found: Vec<String> = all_rust()
        .iter()
        .filter(|file| !file.path.starts_with("src/kernel"))
        .flat_map(|file| {
            places(file, &file.code(), &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"])
        })
        .collect();
    nowhere(&found, "unsafe belongs into src/kernel, one system call a wrapper, with a reason each");
}

#[test]
fn every_file_says_what_it_is_for() {
    let found: Vec<String> = all_rust()
        .iter()
        .filter(|file| !file.path.ends_with("tests.rs"))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.display().to_string())
        .collect();
    nowhere(&found, "a file begins with its module doc: its job, its boundary, what it refuses to know");
}

#[test]
fn no_file_is_too_long() {
    let found: Vec<String> = all_rust()
        .iter()
        .filter(|file| !file.path.ends_with("tests.rs") && file.length() > LONGEST)
        .map(|file| format!("{}: {} lines", file.path.display(), file.length()))
        .collect();
    nowhere(&found, "a file of more than 500 lines has a second job");
}

#[test]
fn code_that_may_fail_says_what_it_expects() {
    let found: Vec<String> = all_rust()
        .iter()
        .filter(|file| !file.is_tests())
        .flat_map(|file| {
            places(file, &file.code_without_tests(), &[".unwrap()", "todo!(", "unimplemented!("])
        })
        .collect();
    nowhere(&found, "outside of tests an error is returned, or `expect` says why there is none");
}

#[test]
fn no_test_is_ignored_or_asleep() {
    let attribute = concat!("#[", "ignore");
    // A test that is the child process of another one is ignored by itself, and says so.
    let child = concat!("#[", "ignore = \"runs as a child of its test\"]");
    let mut found: Vec<String> = Vec::new();
    for file in all_rust() {
        let text = file.text.replace(child, "");
        found.extend(places(&file, &text, &[attribute]));
        // The harness plays slow peers, which is bad weather and no wait.
        if !file.path.starts_with("tests/integration/harness") {
            found.extend(places(&file, &file.tests(), &["thread::sleep", "time::sleep"]));
        }
    }
    nowhere(&found, "a test waits for a condition with a limit; one that cannot run says `skipped:`");
}

#[test]
fn every_dependency_has_a_line_of_reason() {
    let page = source::read("docs/DEPENDENCIES.md");
    let reasons: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
    let manifest = source::read("Cargo.toml");
    let mut wanted = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if inside && let Some((name, _)) = line.split_once(" = ") {
            wanted.insert(name.trim());
        }
    }
    assert_eq!(reasons, wanted, "docs/DEPENDENCIES.md has one line for each dependency of Cargo.toml");
}

#[test]
fn the_tree_names_no_developers_machine() {
    let checkout = source::top().display().to_string();
    let mut words = vec![checkout];
    words.extend(std::env::var("CARGO_HOME").ok().filter(|path| Path::new(path).components().count() > 2));
    words.push(concat!("/Us", "ers/").to_owned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found: Vec<String> =
        source::files("").iter().flat_map(|file| places(file, &file.text, &words)).collect();
    nowhere(&found, "a path of somebody's machine is in the tree");
}
