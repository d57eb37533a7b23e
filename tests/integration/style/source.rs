//! The tree as the rules see it: files, without comments, strings or tests where a rule is about code.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the tree.
pub struct Source {
    /// Where, from the top of the tree.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// The top of the tree.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the tree.
pub fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every Rust file below a directory of the tree.
pub fn rust_files(directory: &str) -> Vec<Source> {
    let mut found = files(directory);
    found.retain(|file| file.path.extension().is_some_and(|ending| ending == "rs"));
    found
}

/// Every text file below a directory of the tree; what git does not keep is left out.
pub fn files(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&top().join(directory), &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if name == ".git" || path == top().join("target") {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(top()).expect("collected below the top").to_owned();
            found.push(Source { path, text });
        }
    }
}

impl Source {
    /// Whether it holds nothing but tests.
    pub fn is_tests(&self) -> bool {
        self.path.starts_with("tests")
            || self.path.ends_with("tests.rs")
            || self.path.iter().any(|part| part == "tests")
    }

    /// Its code with comments and the insides of strings taken out, line for line.
    pub fn code(&self) -> String {
        without_comments_and_strings(&self.text)
    }

    /// [`Self::code`] without what only tests have.
    pub fn code_without_tests(&self) -> String {
        without_test_items(&self.code())
    }

    /// Its code from where its tests begin, with empty lines before them, so that line numbers stay true.
    pub fn tests(&self) -> String {
        let code = self.code();
        if self.is_tests() {
            return code;
        }
        let before = before_tests(&code);
        "\n".repeat(before.matches('\n').count()) + &code[before.len()..]
    }

    /// How many lines it has before its unit tests.
    pub fn length(&self) -> usize {
        before_tests(&self.text).lines().count()
    }
}

/// What stands before `#[cfg(test)] mod tests {`.
fn before_tests(text: &str) -> &str {
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if line.trim_end() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod tests {"))
        {
            return &text[..at];
        }
        at += line.len();
    }
    text
}

/// `code` with every item that only tests have left empty.
fn without_test_items(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = item_end(item);
        kept.extend(item[..end].chars().filter(|letter| *letter == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// Where an item ends: at its `;`, or with its outermost braces.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in item.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Keeps line breaks, so that line numbers stay true.
fn without_comments_and_strings(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            string(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        kept.push(' ');
        kept.extend(rest[..skipped].chars().filter(|letter| *letter == '\n'));
        rest = &rest[skipped..];
    }
    kept
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// The length of a character literal; none for a lifetime.
fn character(text: &str) -> Option<usize> {
    let after = text.strip_prefix('\'')?;
    let first = after.chars().next()?;
    if first == '\\' {
        return after[2..].find('\'').map(|at| at + 4);
    }
    after[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

#[test]
fn code_is_told_from_comments_and_strings() {
    let text = "let a = \"crate::api \\\" x\"; // crate::api\nlet b = r#\"crate::\"api\"#; fn c<'a>(x: &'a u8) { '\"'; }\n";
    let code = without_comments_and_strings(text);
    assert!(!code.contains("crate::"), "{code}");
    assert!(code.contains("fn c<'a>(x: &'a u8)"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn what_only_tests_have_is_left_out() {
    let code = "fn a() {}\n#[cfg(test)]\nfn b() {\n    if x { y() }\n}\n#[cfg(test)]\nuse c;\nfn d() {}\n";
    let rest = without_test_items(code);
    assert!(
        rest.contains("fn a") && rest.contains("fn d") && !rest.contains("fn b") && !rest.contains("use c")
    );
    assert_eq!(rest.lines().count(), code.lines().count());
}
