//! The text of the file as a value like every other that is read, and where in it a member is.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::reading::{self, MemberPath, Step};

/// Reads `text` as a `T`. What is wrong comes as a sentence, with the byte at which it is.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    let place = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let table = DeTable::parse(text).map_err(|error| (place(&error), error.message().to_owned()))?;
    let table = table.get_ref();
    reading::fit(object(table)).map_err(|(path, message)| {
        let of_name = message.starts_with("unknown field");
        (find(table, &path, of_name), message)
    })
}

fn object(table: &DeTable<'_>) -> Value {
    let members = table.iter().map(|(name, member)| (name.get_ref().to_string(), value(member.get_ref())));
    Value::Object(members.collect::<Map<_, _>>())
}

fn value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => {
            // One that no computer counts to stays text, which no member that wants a number takes.
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            whole.map_or_else(|_| number.to_string().into(), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(elements) => elements.iter().map(|element| self::value(element.get_ref())).collect(),
        DeValue::Table(table) => object(table),
    }
}

/// The byte at which the value at `path` begins, or its name when `of_name`; what comes nearest, where the last steps
/// are not in the text.
fn find(table: &DeTable<'_>, path: &MemberPath, of_name: bool) -> usize {
    let (mut found, mut at): (usize, Option<&DeValue<'_>>) = (0, None);
    for (index, step) in path.0.iter().enumerate() {
        let is_last = index + 1 == path.0.len();
        let below: Option<(usize, &Spanned<DeValue<'_>>)> = match (step, at) {
            (Step::Member(name), None) => member(table, name),
            (Step::Member(name), Some(DeValue::Table(table))) => member(table, name),
            (Step::Element(number), Some(DeValue::Array(list))) => {
                list.get(*number).map(|element| (element.span().start, element))
            }
            (Step::Member(_) | Step::Element(_), _) => None,
        };
        let Some((name_at, value)) = below else { break };
        found = if is_last && of_name { name_at } else { value.span().start };
        at = Some(value.get_ref());
    }
    found
}

/// Where the name of a member is, and what it has.
fn member<'a, 'text>(
    table: &'a DeTable<'text>,
    wanted: &str,
) -> Option<(usize, &'a Spanned<DeValue<'text>>)> {
    table.iter().find(|(name, _)| name.get_ref() == wanted).map(|(name, value)| (name.span().start, value))
}
