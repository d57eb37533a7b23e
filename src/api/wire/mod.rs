//! The documents of ECS, one file a noun.
//!
//! Members whose model type cannot be null are always there, lists come back empty rather than absent, and what is
//! unset is left out, because clients of every language rely on that.

pub(super) mod cluster;
pub(super) mod container_instance;
pub(super) mod deployment;
pub(super) mod service;
pub(super) mod task;
pub(super) mod task_definition;

use serde_json::{Map, Value};

use crate::model::{task::Tag, time::Timestamp};

/// A document in the making.
#[derive(Default)]
pub(super) struct Members(pub(super) Map<String, Value>);

impl Members {
    /// Adds a member.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a member that there may be.
    pub(super) fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    /// Adds a time that there may be.
    pub(super) fn put_time(&mut self, name: &str, time: Option<Timestamp>) -> &mut Self {
        self.put_some(name, time.map(Timestamp::as_epoch_seconds))
    }

    /// Adds members that were kept from a request: the named ones, and an empty list for those in `lists` that were
    /// not given.
    pub(super) fn put_kept(
        &mut self,
        kept: &Map<String, Value>,
        names: &[&str],
        lists: &[&str],
    ) -> &mut Self {
        for name in names {
            self.put_some(name, kept.get(*name).cloned());
        }
        for name in lists {
            self.put(name, kept.get(*name).cloned().unwrap_or_else(|| Value::Array(Vec::new())));
        }
        self
    }

    /// The document.
    pub(super) fn document(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

/// Tags, as everything that has them shows them.
pub(super) fn tags(tags: &[Tag]) -> Value {
    let tag = |tag: &Tag| serde_json::json!({"key": tag.key, "value": tag.value});
    tags.iter().map(tag).collect()
}

/// A failure of a call that does what it can.
pub(super) fn failure(arn: impl Into<Value>, reason: &str) -> Value {
    failure_for(arn, reason, None)
}

/// The same, with more than a word.
pub(super) fn failure_for(arn: impl Into<Value>, reason: &str, detail: Option<&str>) -> Value {
    let mut members = Members::default();
    members.put("arn", arn).put("reason", reason).put_some("detail", detail).document()
}
