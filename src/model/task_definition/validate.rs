//! Rules of a task definition that need more than one member.

use serde_json::Value;

use super::Document;
use crate::model::{
    reading::{self, Refusal},
    task::Tag,
};

/// Reads a task definition from the text of a file and checks it. A refusal tells line and column.
pub fn parse_document(text: &str) -> Result<(Document, Vec<Tag>), Refusal> {
    let value = reading::parse(text)?;
    read_document(value).map_err(|refusal| refusal.located_in(text))
}

/// Reads what RegisterTaskDefinition carries and checks it: the document and its tags.
pub fn read_document(mut value: Value) -> Result<(Document, Vec<Tag>), Refusal> {
    let tags = value.as_object_mut().and_then(|members| members.shift_remove("tags"));
    let document: Document = reading::read(value)?;
    let tags = tags.map(reading::read).transpose()?.unwrap_or_default();
    Ok((document, tags))
}
