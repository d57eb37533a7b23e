//! `docs/UNSAFE.md` lists every block of `unsafe` with its reason, so that a reviewer reads one page.
//!
//! The page is made from the code: `HYTHE_WRITE_DOCS=1 scripts/test unsafe_page` writes it again, and a reader of that
//! change sees which block is new and why it is sound.

use std::fmt::Write as _;

use super::source::{self, Source};

const PAGE: &str = "docs/UNSAFE.md";

const HEAD: &str = "# Unsafe code

Every block of `unsafe` in the product, by file: the function, what it calls, and why it is sound. There is none outside
of `src/kernel`; a test holds that, and another one holds this page, which is made from the code:

    HYTHE_WRITE_DOCS=1 scripts/test unsafe_page
";

/// One block.
struct Block {
    function: String,
    calls: String,
    reason: String,
}

/// The blocks of a file that are no test's, in order.
fn blocks(file: &Source) -> Vec<Block> {
    let code = file.code_without_tests();
    let lines: Vec<&str> = file.text.lines().collect();
    let mut function = String::new();
    let mut reason = String::new();
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let text = lines.get(number).copied().unwrap_or_default().trim();
        if let Some(begun) = text.strip_prefix("// SAFETY") {
            reason = comment(begun.trim_start_matches(':').trim(), &lines[number + 1..]);
        }
        if let Some(name) = function_of(line) {
            name.clone_into(&mut function);
        }
        if ["unsafe {", "unsafe impl", "unsafe extern"].iter().any(|word| line.contains(word)) {
            let calls = called(&code, number);
            found.push(Block { function: function.clone(), calls, reason: reason.clone() });
        }
    }
    found
}

/// A comment that begins with `first` and goes on in `rest`, as one line.
fn comment(first: &str, rest: &[&str]) -> String {
    let more = rest.iter().map_while(|line| line.trim().strip_prefix("//"));
    more.fold(first.to_owned(), |all, line| all + " " + line.trim())
}

fn function_of(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("fn ")?;
    let end = after.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    (end > 0).then_some(&after[..end])
}

/// What the block that begins on line `number` calls of the C library, or its first words.
fn called(code: &str, number: usize) -> String {
    let from: usize = code.split_inclusive('\n').take(number).map(str::len).sum();
    let block = &code[from..];
    let block = block.split_once("unsafe").map_or(block, |(_, block)| block);
    let block = &block[..closing(block)];
    let word = |at: usize| {
        let name = &block[at..];
        name.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let names: Vec<_> = block.match_indices("libc::").map(|(at, text)| word(at + text.len())).collect();
    let system_call = names.iter().find_map(|name| name.strip_prefix("SYS_"));
    let first = names.iter().find(|name| name.chars().all(|letter| !letter.is_uppercase()));
    match (system_call, first) {
        (Some(call), _) => call.to_owned(),
        (None, Some(call)) => call.clone(),
        (None, None) => {
            let words = block.trim_matches(|letter: char| letter.is_whitespace() || "{}".contains(letter));
            words.split(['(', '<', '{']).next().unwrap_or_default().trim().to_owned()
        }
    }
}

/// Where the first pair of braces ends.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for file in source::rust_files("src") {
        let blocks = blocks(&file);
        if !blocks.is_empty() {
            let _ = write!(page, "\n## {}\n\n", file.path.display());
        }
        for Block { function, calls, reason } in blocks {
            let _ = writeln!(page, "- `{function}`, `{calls}`: {reason}");
        }
    }
    page
}

#[test]
fn the_page_of_unsafe_blocks_is_the_codes() {
    let page = page();
    if std::env::var_os("HYTHE_WRITE_DOCS").is_some() {
        std::fs::write(source::top().join(PAGE), &page).expect("write the page");
    }
    let without =
        page.lines().filter(|line| line.starts_with("- ") && line.ends_with(": ")).collect::<Vec<_>>();
    assert!(without.is_empty(), "blocks without a reason:\n{}", without.join("\n"));
    assert!(
        source::read(PAGE) == page,
        "{PAGE} is not what the code says; look at the blocks that changed, then: HYTHE_WRITE_DOCS=1 scripts/test unsafe_page"
    );
}

#[test]
fn a_block_is_told_with_its_function_its_call_and_its_reason() {
    let text = "pub fn close(fd: RawFd) {\n    // SAFETY: a number\n    // only.\n    f(unsafe { libc::syscall(libc::SYS_close, fd) });\n}\n";
    let file = Source { path: "src/kernel/a.rs".into(), text: text.to_owned() };
    let found = blocks(&file);
    let told: Vec<_> = found.iter().map(|block| (&*block.function, &*block.calls, &*block.reason)).collect();
    assert_eq!(told, [("close", "close", "a number only.")]);
}
