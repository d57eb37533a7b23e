//! The page about unsafe code has a line for each block, and none for what is gone.

use super::source::{Source, read, rust_files};

/// A block's file and function, as the page names them.
fn blocks(source: &Source) -> Vec<String> {
    let file = source.path.strip_prefix("src/kernel").unwrap().display().to_string();
    let text = source.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut function = "-";
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        if let Some((_, rest)) = code.split_once("fn ") {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            function = &rest[..end.unwrap_or(rest.len())];
        }
        let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
        if words.iter().any(|word| code.contains(word)) {
            found.push(format!("- `{file}` `{function}`"));
        }
    }
    found
}

#[test]
fn every_unsafe_block_has_its_line_in_the_page() {
    let sources = rust_files("src/kernel");
    let mut code: Vec<String> = sources.iter().filter(|source| !source.is_tests()).flat_map(blocks).collect();
    let text = read("docs/UNSAFE.md");
    let lines = text.lines().filter(|line| line.starts_with("- `"));
    let mut page: Vec<String> =
        lines.map(|line| line.split(" (").next().unwrap_or_default().to_owned()).collect();
    code.sort();
    page.sort();
    let missing: Vec<_> = code.iter().filter(|block| !page.contains(block)).collect();
    let gone: Vec<_> = page.iter().filter(|line| !code.contains(line)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/UNSAFE.md: add {missing:#?}, take away {gone:#?}");
    assert_eq!(code, page, "docs/UNSAFE.md has a line for each block, also where a function has several");
}
