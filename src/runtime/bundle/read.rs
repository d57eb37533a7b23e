//! Reading what engines write: the specification lets members be left out that its types here want, and capabilities be
//! named that no kernel has, of which a warning is all there may be.

use oci_spec::runtime::{Capability, Process, Spec};
use serde::Deserialize as _;
use serde::de::{DeserializeOwned, IntoDeserializer as _, value::StrDeserializer};
use serde_json::{Value, json};

use crate::kernel::cgroup::NotEnforced;

/// Reads a specification, and what is in it that cannot be held to. An error comes with the member it is in.
pub(super) fn specification(text: &[u8]) -> Result<(Spec, Vec<NotEnforced>), (String, serde_json::Error)> {
    let mut value: Value = serde_json::from_slice(text).map_err(|err| (".".to_owned(), err))?;
    let completed = value.get_mut("process").map(complete).unwrap_or_default();
    let is_changed = spell(&mut value) || completed.is_changed;
    Ok((read(text, is_changed.then_some(&value))?, completed.missed))
}

/// Reads a process that is to be run in a container, and what is in it that cannot be held to.
pub fn read_process(text: &[u8]) -> Result<(Process, Vec<NotEnforced>), serde_json::Error> {
    let mut value: Value = serde_json::from_slice(text)?;
    let completed = complete(&mut value);
    let process = read(text, completed.is_changed.then_some(&value)).map_err(|(_, err)| err)?;
    Ok((process, completed.missed))
}

/// Reads `completed`, which is `text` with what was added; or `text` alone, if nothing was. Always from text: each other
/// way to read the types of the specification is 200 KB of program.
fn read<T: DeserializeOwned>(
    text: &[u8],
    completed: Option<&Value>,
) -> Result<T, (String, serde_json::Error)> {
    let read =
        |text: &[u8]| serde_json::from_slice::<T>(text).map_err(|err| (member_before(text, &err), err));
    let Some(completed) = completed else { return read(text) };
    read(completed.to_string().as_bytes()).map_err(|(member, err)| match read(text) {
        // Read from what was written, the same error knows its line.
        Err((same, its)) if same == member => (member, its),
        Ok(_) | Err(_) => (member, err),
    })
}

/// What [`complete`] has done.
#[derive(Default)]
struct Completed {
    is_changed: bool,
    missed: Vec<NotEnforced>,
}

/// Abbreviations are written in capitals by the specification, and not by its types here. Gives whether there were some.
fn spell(spec: &mut Value) -> bool {
    let Some(classes) = spec.pointer_mut("/linux/intelRdt").and_then(Value::as_object_mut) else {
        return false;
    };
    let mut is_changed = false;
    for (specified, typed) in [("enableCMT", "enableCmt"), ("enableMBM", "enableMbm")] {
        if let Some(value) = classes.remove(specified) {
            classes.insert(typed.to_owned(), value);
            is_changed = true;
        }
    }
    is_changed
}

/// Nobody named is root, and a capability that is none cannot be given.
fn complete(process: &mut Value) -> Completed {
    let Some(members) = process.as_object_mut() else { return Completed::default() };
    let mut is_changed = false;
    let user = members.entry("user").or_insert(Value::Null);
    if user.is_null() {
        *user = json!({});
    }
    if let Some(user) = user.as_object_mut() {
        for member in ["uid", "gid"] {
            is_changed |= !user.contains_key(member);
            user.entry(member).or_insert(json!(0));
        }
    }
    let sets = members.get_mut("capabilities").and_then(Value::as_object_mut);
    let mut unknown: Vec<String> = Vec::new();
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let is_known = name.as_str().is_none_or(is_capability);
            if !is_known {
                unknown.extend(name.as_str().map(ToOwned::to_owned));
            }
            is_known
        });
    }
    is_changed |= !unknown.is_empty();
    unknown.sort_unstable();
    unknown.dedup();
    let missed = |name| NotEnforced::lacking("process.capabilities", format!("{name} is no capability"));
    Completed { is_changed, missed: unknown.into_iter().map(missed).collect() }
}

fn is_capability(name: &str) -> bool {
    let name: StrDeserializer<'_, serde_json::Error> = name.into_deserializer();
    Capability::deserialize(name).is_ok()
}

/// The path of the value that was read last when `err` was found: `process.args[0]`, or `.` for the whole.
fn member_before(text: &[u8], err: &serde_json::Error) -> String {
    let lines = text.split_inclusive(|&byte| byte == b'\n').take(err.line().saturating_sub(1));
    let end = lines.map(<[u8]>::len).sum::<usize>() + err.column();
    let mut way: Vec<Level> = Vec::new();
    let mut rest = &text[..end.min(text.len())];
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, way.last_mut()) {
            (b'{', _) => way.push(Level::Object { name: None, is_named: false }),
            (b'[', _) => way.push(Level::List(0)),
            (b'}' | b']', _) => drop(way.pop()),
            (b',', Some(Level::List(at))) => *at += 1,
            (b',', Some(Level::Object { name, is_named })) => (*name, *is_named) = (None, false),
            (b':', Some(Level::Object { is_named, .. })) => *is_named = true,
            (b'"', level) => {
                let length = string_length(rest);
                if let Some(Level::Object { name, is_named: false }) = level {
                    *name = Some(String::from_utf8_lossy(&rest[..length]).into_owned());
                }
                rest = rest.get(length + 1..).unwrap_or_default();
            }
            _ => {}
        }
    }
    let mut path = String::new();
    for level in way {
        match level {
            Level::Object { name: Some(name), .. } if path.is_empty() => path = name,
            Level::Object { name: Some(name), .. } => path = format!("{path}.{name}"),
            Level::Object { name: None, .. } => {}
            Level::List(at) => path = format!("{path}[{at}]"),
        }
    }
    if path.is_empty() { ".".to_owned() } else { path }
}

/// What is around a value.
enum Level {
    /// An object; its member's name, and whether that is behind.
    Object { name: Option<String>, is_named: bool },
    /// A list; the element's number.
    List(usize),
}

/// Bytes until the quote that ends the string which begins here.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_out_is_root() {
        let (process, missed) = read_process(br#"{"cwd": "/", "args": ["true"]}"#).unwrap();
        assert_eq!((process.user().uid(), process.user().gid(), missed.len()), (0, 0, 0));
        let (process, _) = read_process(br#"{"cwd": "/", "user": {"gid": 5}}"#).unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (0, 5));
        assert!(read_process(br#"{"cwd": "/", "user": {"uid": "five"}}"#).is_err());
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_by_its_path() {
        for (text, member, place) in [
            (r#"{"ociVersion": "1.2.0", "root": {"readonly": 1}}"#, "root.readonly", "column 46"),
            (
                r#"{"ociVersion": "1.2.0", "mounts": [{"type": "x"}]}"#,
                "mounts[0]",
                "missing field `destination`",
            ),
            (r#"{"ociVersion": "1.2.0", "mounts": [{"destination": "/"}, 7]}"#, "mounts[1]", "line 1"),
            ("{\"ociVersion\": \"1.2.0\",\n \"hostname\": [\"a\\\"{[\"]}", "hostname", "line 2"),
            ("7", ".", "expected struct Spec"),
        ] {
            let (found, error) = specification(text.as_bytes()).unwrap_err();
            assert_eq!(found, member, "{error}");
            assert!(error.to_string().contains(place), "{error}");
        }
        // The text that is read is another one where something was added, and the member is the same.
        let text = r#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {}, "args": ["a", 5]}}"#;
        assert_eq!(specification(text.as_bytes()).unwrap_err().0, "process.args[1]");
    }

    #[test]
    #[allow(deprecated, reason = "still written by container managers")]
    fn abbreviations_are_read_as_the_specification_has_them() {
        let text = br#"{"ociVersion": "1.2.0", "linux": {"intelRdt": {"closID": "a", "enableCMT": true, "enableMBM": true}}}"#;
        let (spec, _) = specification(text).unwrap();
        let classes = spec.linux().clone().unwrap().intel_rdt().clone().unwrap();
        assert_eq!((*classes.enable_cmt(), *classes.enable_mbm()), (Some(true), Some(true)));
    }

    #[test]
    fn a_capability_that_is_none_is_left_out_and_told() {
        let text = br#"{"cwd": "/", "capabilities": {"bounding": ["CAP_FLY", "CAP_KILL"], "permitted": ["CAP_FLY"]}}"#;
        let (process, missed) = read_process(text).unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().clone().unwrap().len(), 1);
        assert!(sets.permitted().clone().unwrap().is_empty());
        assert_eq!(missed, [NotEnforced::lacking("process.capabilities", "CAP_FLY is no capability")]);
    }
}
