//! Forms: which members a document may have and what each may hold, as a table in a text.
//!
//! A type says what a program does something with; a form says what may be written at all. Members that are only kept
//! and given back have a form and no type, so that what was taken can always be read again by whoever asks for it.
//! The refusals are those of [`super::reading`]. How a form is written stands at the top of each table.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reading::{Fault, MemberPath, Refusal, nearest_word};

/// The forms of some documents, by name.
pub struct Forms {
    forms: BTreeMap<&'static str, Vec<Member>>,
}

struct Member {
    name: &'static str,
    is_required: bool,
    holds: Holds,
}

/// Smallest and largest length, or least and most of a number.
type Bounds = Option<(i64, i64)>;

/// What a member may hold.
#[derive(Debug, PartialEq, Eq)]
enum Holds {
    Any,
    Flag,
    Number,
    Whole(Bounds),
    Text(Bounds),
    Word(Vec<&'static str>),
    List(Box<Holds>, Bounds),
    Map(Box<Holds>),
    Form(&'static str),
}

impl Holds {
    fn parse(text: &'static str) -> Self {
        if let Some(words) = text.strip_prefix('=') {
            return Self::Word(words.split('|').collect());
        }
        // Bounds stand behind the last bracket.
        let end = text.rfind([']', '}']).map_or(0, |end| end + 1);
        let (kind, bounds) = match text[end..].split_once(':') {
            Some((rest, bounds)) => (&text[..end + rest.len()], parse_bounds(bounds)),
            None => (text, None),
        };
        let inside = |open, close| kind.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(of) = inside('[', ']') {
            return Self::List(Box::new(Self::parse(of)), bounds);
        }
        if let Some(of) = inside('{', '}') {
            return Self::Map(Box::new(Self::parse(of)));
        }
        match kind {
            "any" => Self::Any,
            "flag" => Self::Flag,
            "number" => Self::Number,
            "int" => Self::Whole(bounds.or(Some((i64::from(i32::MIN), i64::from(i32::MAX))))),
            "long" => Self::Whole(bounds),
            "text" => Self::Text(bounds),
            form => Self::Form(form),
        }
    }

    /// The form that it leads to.
    fn form(&self) -> Option<&'static str> {
        match self {
            Self::Form(form) => Some(form),
            Self::List(of, _) | Self::Map(of) => of.form(),
            Self::Any | Self::Flag | Self::Number | Self::Whole(_) | Self::Text(_) | Self::Word(_) => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Flag => "a boolean",
            Self::Number => "a number",
            Self::Whole(_) => "a whole number",
            Self::Text(_) | Self::Word(_) => "a string",
            Self::List(..) => "a list",
            Self::Map(_) | Self::Form(_) => "an object",
        }
    }
}

fn parse_bounds(text: &str) -> Bounds {
    let (least, most) = text.split_once("..")?;
    Some((least.parse().ok()?, most.parse().ok()?))
}

impl Forms {
    /// Reads tables; of two forms of one name the later one holds.
    #[must_use]
    pub fn read(tables: &[&'static str]) -> Self {
        let mut forms: BTreeMap<&'static str, Vec<Member>> = BTreeMap::new();
        let mut current = "";
        for line in tables.iter().flat_map(|table| table.lines()) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (None, _) => {}
                (Some(word), _) if word.starts_with('#') => {}
                (Some(name), None) => {
                    current = name;
                    forms.insert(name, Vec::new());
                }
                (Some(name), Some(holds)) => {
                    let is_required = name.ends_with('!');
                    let name = name.trim_end_matches('!');
                    let member = Member { name, is_required, holds: Holds::parse(holds) };
                    forms.entry(current).or_default().push(member);
                }
            }
        }
        Self { forms }
    }

    /// Takes a form out.
    pub fn forget(&mut self, form: &str) {
        self.forms.remove(form);
    }

    /// Whether there is a form of that name.
    #[must_use]
    pub fn has(&self, form: &str) -> bool {
        self.forms.contains_key(form)
    }

    /// Forms that others name and that are not there.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let named = self.forms.values().flatten().filter_map(|member| member.holds.form());
        named.filter(|form| !self.has(form)).collect()
    }

    /// Whether `value` has the form of that name; anything has a form that there is not.
    pub fn check(&self, form: &str, value: &Value) -> Result<(), Refusal> {
        self.object(form, value, &MemberPath::default())
    }

    fn object(&self, form: &str, value: &Value, path: &MemberPath) -> Result<(), Refusal> {
        let Some(known) = self.forms.get(form) else { return Ok(()) };
        let Some(members) = value.as_object() else {
            return Err(wrong_type(path.clone(), value, "an object"));
        };
        for (name, value) in members {
            let Some(member) = known.iter().find(|member| member.name == name) else {
                return Err(unknown(path.member(name), name, known));
            };
            if !value.is_null() {
                self.value(&member.holds, value, &path.member(name))?;
            }
        }
        let is_absent = |name: &str| members.get(name).is_none_or(Value::is_null);
        match known.iter().find(|member| member.is_required && is_absent(member.name)) {
            None => Ok(()),
            Some(Member { name, .. }) => {
                Err(refusal(Fault::MissingMember, path.clone(), format!("member `{name}` is missing")))
            }
        }
    }

    fn value(&self, holds: &Holds, value: &Value, path: &MemberPath) -> Result<(), Refusal> {
        let wrong = || Err(wrong_type(path.clone(), value, holds.name()));
        match (holds, value) {
            (Holds::Any, _) | (Holds::Flag, Value::Bool(_)) | (Holds::Number, Value::Number(_)) => Ok(()),
            (Holds::Whole(bounds), Value::Number(number)) => match number.as_i64() {
                Some(number) => within(*bounds, number, path, || number.to_string()),
                None => wrong(),
            },
            (Holds::Text(bounds), Value::String(text)) => {
                let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                within(*bounds, length, path, || match (path.is_private(), text.as_str()) {
                    (true, _) | (false, "") => format!("the length {length}"),
                    (false, text) => format!("the length {length} of {:?}", short(text)),
                })
            }
            (Holds::Word(words), Value::String(text)) => word(words, text, path),
            (Holds::List(of, bounds), Value::Array(elements)) => {
                let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
                within(*bounds, length, path, || format!("the number of elements, {length},"))?;
                let each = |(index, element)| self.value(of, element, &path.element(index));
                elements.iter().enumerate().try_for_each(each)
            }
            (Holds::Map(of), Value::Object(members)) => {
                members.iter().try_for_each(|(name, value)| self.value(of, value, &path.member(name)))
            }
            (Holds::Form(form), Value::Object(_)) => self.object(form, value, path),
            (
                Holds::Flag
                | Holds::Number
                | Holds::Whole(_)
                | Holds::Text(_)
                | Holds::Word(_)
                | Holds::List(..)
                | Holds::Map(_)
                | Holds::Form(_),
                _,
            ) => wrong(),
        }
    }
}

fn refusal(fault: Fault, path: MemberPath, message: String) -> Refusal {
    Refusal { fault, path, message, nearest: None, place: None }
}

fn within(
    bounds: Bounds,
    number: i64,
    path: &MemberPath,
    what: impl FnOnce() -> String,
) -> Result<(), Refusal> {
    match bounds {
        Some((least, most)) if !(least..=most).contains(&number) => {
            let message = format!("{} is not between {least} and {most}", what());
            Err(refusal(Fault::WrongValue, path.clone(), message))
        }
        Some(_) | None => Ok(()),
    }
}

fn word(words: &[&'static str], text: &str, path: &MemberPath) -> Result<(), Refusal> {
    if words.contains(&text) {
        return Ok(());
    }
    let message = format!("`{}` is not one of {}", short(text), words.join(", "));
    let nearest = nearest_word(text, words.iter().copied());
    Err(Refusal { nearest, ..refusal(Fault::WrongValue, path.clone(), message) })
}

fn unknown(path: MemberPath, name: &str, known: &[Member]) -> Refusal {
    let nearest = nearest_word(name, known.iter().map(|member| member.name));
    Refusal { nearest, ..refusal(Fault::UnknownMember, path, format!("unknown member `{}`", short(name))) }
}

fn wrong_type(path: MemberPath, value: &Value, expected: &str) -> Refusal {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("boolean `{flag}`"),
        Value::Number(_) if path.is_private() => "a number".to_owned(),
        Value::Number(number) => format!("number `{number}`"),
        Value::String(_) if path.is_private() => "a string".to_owned(),
        Value::String(text) => format!("string {:?}", short(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    refusal(Fault::WrongType, path, format!("invalid type: {found}, expected {expected}"))
}

/// The beginning of a text: nobody reads a megabyte of his own words in an error.
fn short(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "# A table.\nShip\n    name! text:1..5\n    kind =BARGE|FERRY\n    berths [Berth]:0..2\n    \
                         flags {text}\n    speed number\n    note any\n\nBerth\n    port! int:1..9\n    wide flag\n";

    fn refused(value: &Value) -> String {
        Forms::read(&[TABLE]).check("Ship", value).unwrap_err().to_string()
    }

    #[test]
    fn what_has_the_form_is_taken() {
        let ship = json!({
            "name": "Ada", "kind": "FERRY", "berths": [{"port": 9, "wide": true}], "flags": {"a": "b"},
            "speed": 1.5, "note": [{}], "more": null,
        });
        let mut known = ship;
        known.as_object_mut().unwrap().shift_remove("more");
        assert_eq!(Forms::read(&[TABLE]).check("Ship", &known), Ok(()));
        assert_eq!(Forms::read(&[TABLE]).check("Ship", &json!({"name": "Ada", "kind": null})), Ok(()));
        assert_eq!(Forms::read(&[TABLE]).check("Crew", &json!(5)), Ok(()));
    }

    #[test]
    fn what_has_not_is_refused_by_its_path_in_a_sentence() {
        for (value, sentence) in [
            (json!([]), "invalid type: a list, expected an object"),
            (json!({}), "member `name` is missing"),
            (json!({"name": null}), "member `name` is missing"),
            (json!({"name": "Ada", "knd": 1}), "knd: unknown member `knd`; did you mean `kind`?"),
            (json!({"name": 5}), "name: invalid type: number `5`, expected a string"),
            (json!({"name": "Leviathan"}), "name: the length 9 of \"Leviathan\" is not between 1 and 5"),
            (
                json!({"name": "Ada", "kind": "FERY"}),
                "kind: `FERY` is not one of BARGE, FERRY; did you mean `FERRY`?",
            ),
            (json!({"name": "Ada", "berths": [{"port": 10}]}), "berths[0].port: 10 is not between 1 and 9"),
            (
                json!({"name": "Ada", "berths": [{"port": 1.5}]}),
                "berths[0].port: invalid type: number `1.5`, expected a whole number",
            ),
            (json!({"name": "Ada", "berths": [null]}), "berths[0]: invalid type: null, expected an object"),
            (
                json!({"name": "Ada", "berths": [{"port": 1}, {"port": 1}, {"port": 1}]}),
                "berths: the number of elements, 3, is not between 0 and 2",
            ),
            (
                json!({"name": "Ada", "flags": {"a": 1}}),
                "flags.a: invalid type: number `1`, expected a string",
            ),
        ] {
            assert_eq!(refused(&value), sentence);
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let table = "Ship\n    environment [Pair]\n    options {text:0..3}\n\nPair\n    name text:1..3\n    value text:0..3\n";
        let told = |value: &Value| Forms::read(&[table]).check("Ship", value).unwrap_err().to_string();
        for (value, sentence) in [
            (json!({"environment": "A=hush"}), "environment: invalid type: a string, expected a list"),
            (
                json!({"environment": [{"name": "A", "value": 271_828}]}),
                "environment[0].value: invalid type: a number, expected a string",
            ),
            (
                json!({"environment": [{"name": "A", "value": "hush"}]}),
                "environment[0].value: the length 4 is not between 0 and 3",
            ),
            (json!({"options": {"token": "hush"}}), "options.token: the length 4 is not between 0 and 3"),
            (
                json!({"environment": [{"name": "hush"}]}),
                "environment[0].name: the length 4 of \"hush\" is not between 1 and 3",
            ),
        ] {
            assert_eq!(told(&value), sentence);
        }
    }

    #[test]
    fn long_words_are_not_repeated_whole() {
        assert!(refused(&json!({"name": "Ada", "kind": "x".repeat(1000)})).len() < 200);
        assert!(refused(&json!({"name": ["x".repeat(1000)]})).len() < 200);
    }
}
