//! Reading what engines write: the specification lets members be left out that its types here want, and capabilities be
//! named that no kernel has, of which a warning is all there may be.

use oci_spec::runtime::{Capability, Process, Spec};
use serde_json::{Value, json};

use crate::kernel::cgroup::NotEnforced;

/// Reads a specification, and what is in it that cannot be held to. An error comes with the member it is in.
pub(super) fn specification(text: &[u8]) -> Result<(Spec, Vec<NotEnforced>), (String, serde_json::Error)> {
    let mut value: Value = serde_json::from_slice(text).map_err(|err| (".".to_owned(), err))?;
    let missed = value.get_mut("process").map(complete).unwrap_or_default();
    spell(&mut value);
    let spec = serde_path_to_error::deserialize(value).map_err(|err| {
        let member = err.path().to_string();
        // Read from the text, the same error knows its line.
        let mut reader = serde_json::Deserializer::from_slice(text);
        let again = serde_path_to_error::deserialize::<_, Spec>(&mut reader).err();
        let again = again.filter(|again| again.path().to_string() == member);
        (member, again.unwrap_or(err).into_inner())
    })?;
    Ok((spec, missed))
}

/// Reads a process that is to be run in a container, and what is in it that cannot be held to.
pub fn read_process(text: &[u8]) -> Result<(Process, Vec<NotEnforced>), serde_json::Error> {
    let mut value: Value = serde_json::from_slice(text)?;
    let missed = complete(&mut value);
    Ok((serde_json::from_value(value)?, missed))
}

/// Abbreviations are written in capitals by the specification, and not by its types here.
fn spell(spec: &mut Value) {
    let Some(classes) = spec.pointer_mut("/linux/intelRdt").and_then(Value::as_object_mut) else { return };
    for (specified, typed) in [("enableCMT", "enableCmt"), ("enableMBM", "enableMbm")] {
        if let Some(value) = classes.remove(specified) {
            classes.insert(typed.to_owned(), value);
        }
    }
}

/// Nobody named is root, and a capability that is none cannot be given.
fn complete(process: &mut Value) -> Vec<NotEnforced> {
    let Some(members) = process.as_object_mut() else { return Vec::new() };
    let user = members.entry("user").or_insert(Value::Null);
    if user.is_null() {
        *user = json!({});
    }
    if let Some(user) = user.as_object_mut() {
        for member in ["uid", "gid"] {
            user.entry(member).or_insert(json!(0));
        }
    }
    let sets = members.get_mut("capabilities").and_then(Value::as_object_mut);
    let mut unknown: Vec<String> = Vec::new();
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let is_known = !name.is_string() || serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !is_known {
                unknown.extend(name.as_str().map(ToOwned::to_owned));
            }
            is_known
        });
    }
    unknown.sort_unstable();
    unknown.dedup();
    let missed = |name| NotEnforced::lacking("process.capabilities", format!("{name} is no capability"));
    unknown.into_iter().map(missed).collect()
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
