//! Reading JSON documents strictly: a member that does not exist, a wrong type or a wrong value is refused by its
//! path, with the nearest valid word and, where the text is at hand, line and column.
//!
//! `null` counts as absent. Nothing here knows what the documents mean.

use std::fmt;

use serde::de::{DeserializeOwned, Error};
use serde_json::Value;

/// One step from a document to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An element of a list, from 0.
    Element(usize),
}

/// Where in a document something is: `containerDefinitions[0].memory`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberPath(pub Vec<Step>);

/// Members in which what people want to keep to themselves is found.
const PRIVATE: [&str; 3] = ["environment", "options", "driverOpts"];

/// A place in a text, from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not JSON.
    Syntax,
    /// A member does not exist.
    UnknownMember,
    /// A member that must be there is not.
    MissingMember,
    /// A value has the wrong type.
    WrongType,
    /// A value has the right type and is not one of those that are possible.
    WrongValue,
    /// Each member is possible, and they do not go together.
    Rule,
}

/// A document that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// What kind of fault it is.
    pub fault: Fault,
    /// Where it is.
    pub path: MemberPath,
    /// What is wrong there.
    pub message: String,
    /// The valid word that is nearest to the one that was found.
    pub nearest: Option<String>,
    /// Where in the text it is, when the text was at hand.
    pub place: Option<Place>,
}

mod locate;
mod strict;
mod tree;

use tree::{Misfit, Tree};

impl MemberPath {
    /// This path and one member further.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Member(name.to_owned()));
        Self(steps)
    }

    /// Whether what is here may be a secret, which no refusal repeats: refusals end up in logs, terminals and the output
    /// of other people's builds. Values of the environment are where secrets are put, and options of log and volume
    /// drivers hold tokens and passwords. Names, and where a secret comes from, are none.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let is_name = matches!(self.0.last(), Some(Step::Member(name)) if name == "name");
        let holds = |step: &Step| matches!(step, Step::Member(name) if PRIVATE.contains(&name.as_str()));
        !is_name && self.0.iter().any(holds)
    }

    /// What a document has here.
    #[must_use]
    pub fn find<'document>(&self, document: &'document Value) -> Option<&'document Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Element(index) => value.get(index),
        })
    }

    /// This path and one element further.
    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Element(index));
        Self(steps)
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Member(name) if at == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        // ECS's own sentences name the thing themselves.
        if self.fault != Fault::Rule && !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(word) => write!(f, "; did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

impl Refusal {
    /// A rule that is broken at `path`.
    pub fn rule(path: MemberPath, message: impl Into<String>) -> Self {
        Self { fault: Fault::Rule, path, message: message.into(), nearest: None, place: None }
    }

    /// A value at `path` that is not one of those that are possible.
    pub fn wrong(path: MemberPath, message: impl Into<String>) -> Self {
        Self { fault: Fault::WrongValue, ..Self::rule(path, message) }
    }

    /// The sentence for somebody who has only `document` and no line. ECS's own sentences about rules do not always say
    /// which member they are about and what it holds: here that follows.
    #[must_use]
    pub fn told_of(&self, document: &Value) -> String {
        let sentence = self.to_string();
        let member = self.path.0.iter().rev().find_map(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            Step::Element(_) => None,
        });
        let Some(member) = member.filter(|_| self.fault == Fault::Rule) else { return sentence };
        let found = self.path.find(document).and_then(|found| match found {
            Value::String(text) => Some(text.chars().take(100).collect()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        });
        let found: Option<String> = found.filter(|_| !self.path.is_private());
        match found {
            Some(found) if sentence.contains(member) && sentence.contains(&found) => sentence,
            Some(found) => format!("{sentence} ({}: '{found}')", self.path),
            None if sentence.contains(member) => sentence,
            None => format!("{sentence} ({})", self.path),
        }
    }

    /// The same refusal with its place in `text`.
    #[must_use]
    pub fn located_in(mut self, text: &str) -> Self {
        let of_name = self.fault == Fault::UnknownMember;
        self.place.get_or_insert_with(|| locate::find(text, &self.path, of_name));
        self
    }
}

/// The JSON value that `text` is. No object has a member twice.
pub fn parse(text: &str) -> Result<Value, Refusal> {
    serde_json::from_str::<strict::Strict>(text).map(|strict| strict.0).map_err(|error| Refusal {
        fault: Fault::Syntax,
        path: MemberPath::default(),
        message: without_place(&error.to_string()).to_owned(),
        nearest: None,
        place: Some(Place { line: error.line(), column: error.column().max(1) }),
    })
}

/// Reads `value` as a `T`.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    read_at(&MemberPath::default(), value)
}

/// Reads `value`, which is at `path` of a document, as a `T`.
pub fn read_at<T: DeserializeOwned>(path: &MemberPath, value: Value) -> Result<T, Refusal> {
    fit(without_nulls(value))
        .map_err(|(below, sentence)| refusal(MemberPath([&*path.0, &*below.0].concat()), &sentence))
}

/// Reads text of our own or of other programs as a `T`: no member has to be known, and `null` is a value.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    from_value(serde_json::from_slice(text)?)
}

/// The same for text that is known to be UTF-8.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    from_slice(text.as_bytes())
}

/// The same for a value that was read already.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, serde_json::Error> {
    fit(value).map_err(|misfit| match misfit {
        (path, sentence) if path.0.is_empty() => serde_json::Error::custom(sentence),
        (path, sentence) => serde_json::Error::custom(format_args!("{path}: {sentence}")),
    })
}

/// The same for whoever has words of his own for what does not fit: where it is, and serde's sentence about it.
pub fn fit<T: DeserializeOwned>(value: Value) -> Result<T, (MemberPath, String)> {
    T::deserialize(Tree(value)).map_err(Misfit::into_parts)
}

/// `value` without the members that are `null`.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(elements) => Value::Array(elements.into_iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// What is said of a value that is not repeated.
const PRIVATELY: &str = "what it holds is not valid";

/// Turns a sentence of serde into a refusal. Its words are stable, and a test holds them.
fn refusal(path: MemberPath, text: &str) -> Refusal {
    let words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let (fault, message) = if path.is_private() && !text.starts_with("missing field") {
        (Fault::WrongValue, PRIVATELY.to_owned())
    } else if text.starts_with("unknown field") {
        (Fault::UnknownMember, format!("unknown member `{}`", words.first().unwrap_or(&"")))
    } else if text.starts_with("unknown variant") {
        let valid = words.get(1..).unwrap_or_default().join(", ");
        (Fault::WrongValue, format!("`{}` is not one of {valid}", words.first().unwrap_or(&"")))
    } else if text.starts_with("missing field") {
        (Fault::MissingMember, format!("member `{}` is missing", words.first().unwrap_or(&"")))
    } else if text.starts_with("invalid type") {
        (Fault::WrongType, text.to_owned())
    } else {
        (Fault::WrongValue, text.to_owned())
    };
    let nearest = match fault {
        Fault::UnknownMember | Fault::WrongValue => nearest(&words),
        Fault::Syntax | Fault::MissingMember | Fault::WrongType | Fault::Rule => None,
    };
    Refusal { fault, path, message, nearest, place: None }
}

fn without_place(text: &str) -> &str {
    text.rfind(" at line ").map_or(text, |end| &text[..end])
}

/// The word after the first that is most like the first, if any is.
fn nearest(words: &[&str]) -> Option<String> {
    let (wrong, valid) = words.split_first()?;
    nearest_word(wrong, valid.iter().copied())
}

/// The one of `valid` that is most like `wrong`, if any is like it at all.
pub fn nearest_word<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wrong = wrong.to_ascii_lowercase();
    // Long words are alike by their beginning, short ones by how few letters would have to change.
    let likeness = |word: &str| {
        let word = word.to_ascii_lowercase();
        let beginning = strsim::jaro_winkler(&wrong, &word);
        let letters = strsim::normalized_damerau_levenshtein(&wrong, &word);
        (beginning > 0.75 || letters > 0.6).then_some(beginning.max(letters))
    };
    valid
        .into_iter()
        .filter_map(|word| Some((likeness(word)?, word)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, word)| word.to_owned())
}

#[cfg(test)]
mod tests;
