//! Who may know whom.
//!
//! A room names another as `crate::room::…` (a binary as `hythe::room::…`). The table below is the one in
//! `docs/ARCHITECTURE.md`, and a test keeps the two the same.

use std::{collections::BTreeSet, path::Path};

use super::source::{self, Source};

/// A room and the rooms that it may name.
const TABLE: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("kernel", &[]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("image", &["model", "kernel"]),
    ("net", &["model", "kernel"]),
    ("runtime", &["kernel"]),
    ("shim", &["model", "plan", "runtime", "kernel"]),
    ("agent", &["model", "image", "net", "shim"]),
    ("api", &["model", "store"]),
    ("daemon", &["model", "plan", "store", "net", "agent", "api"]),
    ("cli", &["model", "api", "runtime", "kernel"]),
];

/// The programs and the rooms that they may name.
const PROGRAMS: [(&str, &[&str]); 2] =
    [("main", &["cli", "daemon", "shim", "kernel"]), ("rootfs-tools", &["model", "image", "kernel"])];

fn files_of(room: &str) -> Vec<Source> {
    source::rust_files("src")
        .into_iter()
        .filter(|file| {
            let inside = file.path.strip_prefix("src").expect("found below src");
            inside.starts_with(room) || inside == Path::new(&format!("{room}.rs"))
        })
        .collect()
}

/// The rooms that `code` names behind `root::`, also inside `root::{…}`.
fn named(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
            continue;
        }
        let Some(after) = code[at + root.len()..].strip_prefix("::") else { continue };
        match after.strip_prefix('{') {
            Some(group) => found.extend(first_words(group)),
            None => found.extend(word(after)),
        }
    }
    found
}

/// The word at the start of each branch of `a::x, b::{y, z}, c}`.
fn first_words(group: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let mut words = Vec::new();
    let mut starts = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => starts = true,
            _ if starts && !letter.is_whitespace() => {
                words.extend(word(&group[at..]));
                starts = false;
            }
            _ => {}
        }
    }
    words
}

fn word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn a_room_names_only_the_rooms_its_line_allows() {
    let mut wrong = Vec::new();
    for (room, allowed) in TABLE {
        for file in files_of(room) {
            for other in named(&file.code(), "crate") {
                let is_room = TABLE.iter().any(|(name, _)| *name == other);
                if is_room && other != room && !allowed.contains(&other.as_str()) {
                    wrong.push(format!("{}: {room} may not know {other}", file.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_program_names_only_the_rooms_its_line_allows() {
    let mut wrong = Vec::new();
    for (program, allowed) in PROGRAMS {
        let files = match program {
            "main" => source::rust_files("src")
                .into_iter()
                .filter(|file| file.path == Path::new("src/main.rs"))
                .collect(),
            other => source::rust_files(other),
        };
        for file in files {
            for room in named(&file.code(), "hythe") {
                if !allowed.contains(&room.as_str()) {
                    wrong.push(format!("{}: {program} may not know {room}", file.path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_twelve_rooms_and_no_other_door() {
    let library = source::read("src/lib.rs");
    let declared: BTreeSet<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let rooms: BTreeSet<&str> = TABLE.iter().map(|(room, _)| *room).collect();
    assert_eq!(declared, rooms, "src/lib.rs declares the twelve rooms; a thirteenth needs a reason");
    for file in source::rust_files("src") {
        let inside = file.path.strip_prefix("src").expect("found below src");
        let first = inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        let room = first.strip_suffix(".rs").unwrap_or(first);
        assert!(
            rooms.contains(room) || ["main", "lib"].contains(&room),
            "{} is in no room",
            file.path.display()
        );
    }
}

#[test]
fn the_page_of_record_has_the_same_table() {
    let page = source::read("docs/ARCHITECTURE.md");
    let section = page.split("## Who may know whom").nth(1).expect("the page has the table");
    let table = section.split("```").nth(1).expect("the table is a block of code");
    let mut written: Vec<(String, BTreeSet<String>)> = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            let names_a_room = words.get(at + 1) == Some(&"->");
            if names_a_room {
                written.push(((*word).to_owned(), BTreeSet::new()));
            } else if !["->", "nothing"].contains(word)
                && let Some((_, allowed)) = written.last_mut()
            {
                allowed.insert((*word).to_owned());
            }
        }
    }
    written.sort();
    let mut held: Vec<(String, BTreeSet<String>)> = TABLE
        .iter()
        .chain(&PROGRAMS)
        .map(|(room, allowed)| ((*room).to_owned(), allowed.iter().map(|&name| name.to_owned()).collect()))
        .collect();
    held.sort();
    assert_eq!(written, held, "docs/ARCHITECTURE.md and tests/integration/style/rooms.rs hold one table");
}

#[test]
fn imports_in_groups_are_seen() {
    let code = "use crate::{api::{client, live}, model};\nlet x = crate::store::open(); not_crate::net::y();";
    let rooms: Vec<String> = named(code, "crate").into_iter().collect();
    assert_eq!(rooms, ["api", "model", "store"]);
}
