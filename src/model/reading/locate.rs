//! Finds the place of a member in a text that is known to be JSON.
//!
//! The text was parsed already, so this walks it without checking it again: strings are skipped whole, brackets are
//! counted, everything else is passed over.

use super::{MemberPath, Place, Step};

/// The place of the value at `path` in `text`, or of its name when `of_name`; of what comes nearest on the way when
/// the last steps are not in the text.
pub(super) fn find(text: &str, path: &MemberPath, of_name: bool) -> Place {
    let mut walk = Walk { text, at: 0 };
    walk.skip_space();
    let mut found = walk.at;
    for (index, step) in path.0.iter().enumerate() {
        let last = index + 1 == path.0.len();
        let entered = match step {
            Step::Member(name) => walk.enter_member(name),
            Step::Element(index) => walk.enter_element(*index).map(|()| walk.at),
        };
        let Some(name_at) = entered else { break };
        found = if last && of_name { name_at } else { walk.at };
    }
    place(text, found)
}

fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Passes `byte`, and says whether it was there.
    fn pass(&mut self, byte: u8) -> bool {
        self.skip_space();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Reads the string that starts here.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.skip_string()?;
        serde_json::from_str(&self.text[start..self.at]).ok()
    }

    fn skip_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Passes the value that starts here.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.skip_space();
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => self.skip_word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_word(&mut self) {
        while self.peek().is_some_and(|byte| !b",:]}[{\"".contains(&byte) && !byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes to the value of the member `name` of the object that starts here; the answer is where the name is. Of
    /// several members of that name the last counts, as it does for the parser.
    fn enter_member(&mut self, name: &str) -> Option<usize> {
        if !self.pass(b'{') {
            return None;
        }
        let mut found = None;
        loop {
            self.skip_space();
            let name_at = self.at;
            if self.peek() != Some(b'"') {
                break;
            }
            let this = self.string()?;
            self.pass(b':');
            self.skip_space();
            if this == name {
                found = Some((name_at, self.at));
            }
            self.skip_value()?;
            if !self.pass(b',') {
                break;
            }
        }
        let (name_at, value_at) = found?;
        self.at = value_at;
        Some(name_at)
    }

    fn enter_element(&mut self, index: usize) -> Option<()> {
        if !self.pass(b'[') {
            return None;
        }
        for _ in 0..index {
            self.skip_space();
            self.skip_value()?;
            if !self.pass(b',') {
                return None;
            }
        }
        self.skip_space();
        Some(())
    }
}
