//! Files in the form of AWS's own credentials files: sections of keys.
//!
//! ```text
//!   [ada]
//!   aws_access_key_id = AKIDEXAMPLE
//!   aws_secret_access_key = …
//!   aws_session_token = …
//! ```
//!
//! Members with other names are passed over, because files of clients hold more: a region, an output format. What could
//! be read in two ways is refused. No message repeats a line: each may hold a secret.

use std::collections::BTreeMap;

/// A section: what stands below a `[NAME]`.
#[derive(Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its line, from 1.
    pub line: usize,
    members: BTreeMap<String, &'a str>,
}

/// A file that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl<'a> Section<'a> {
    /// The id of its key.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.member("aws_access_key_id")
    }

    /// The secret of its key.
    #[must_use]
    pub fn secret(&self) -> Option<&'a str> {
        self.member("aws_secret_access_key")
    }

    /// The token that goes with a key that ends.
    #[must_use]
    pub fn token(&self) -> Option<&'a str> {
        self.member("aws_session_token")
    }

    fn member(&self, name: &str) -> Option<&'a str> {
        self.members.get(name).copied().filter(|value| !value.is_empty())
    }
}

/// The sections of a file, in its order.
///
/// # Errors
/// A line that is none of a file of this form, and the second of two with one name.
pub fn sections(text: &str) -> Result<Vec<Section<'_>>, Fault> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        let wrong = |why| Fault { line: number, why };
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = name.trim();
            if sections.iter().any(|section| section.name == name) {
                return Err(wrong("a [NAME] is there twice"));
            }
            sections.push(Section { name, line: number, members: BTreeMap::new() });
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(wrong("a line is NAME = VALUE or [NAME]"))?;
        let section = sections.last_mut().ok_or(wrong("a [NAME] comes before its key"))?;
        if section.members.insert(name.trim().to_ascii_lowercase(), value.trim()).is_some() {
            return Err(wrong("a NAME is there twice below one [NAME]"));
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_clients_are_read() {
        let text = "# who\n[default]\naws_access_key_id = A\naws_secret_access_key=s=1\nregion = x\n\n[ two ]\n\
                    AWS_ACCESS_KEY_ID=B\naws_secret_access_key = t\naws_session_token = k\n[half]\n\
                    aws_access_key_id = C\naws_secret_access_key =\n";
        let found = sections(text).unwrap();
        let all: Vec<_> =
            found.iter().map(|one| (one.name, one.line, one.id(), one.secret(), one.token())).collect();
        assert_eq!(
            all,
            [
                ("default", 2, Some("A"), Some("s=1"), None),
                ("two", 7, Some("B"), Some("t"), Some("k")),
                ("half", 11, Some("C"), None, None),
            ]
        );
    }

    #[test]
    fn what_is_no_such_file_is_refused_by_its_line_without_repeating_it() {
        for (text, line) in [
            ("nonsense", 1),
            ("[a]\n\nnonsense", 3),
            ("aws_access_key_id = A", 1),
            ("[a]\nregion = x\n[a]\n", 3),
            ("[a]\nregion = x\nRegion = y\n", 3),
        ] {
            let fault = sections(text).unwrap_err();
            assert_eq!(fault.line, line, "{text}");
            assert!(!fault.why.contains("nonsense"));
        }
    }
}
