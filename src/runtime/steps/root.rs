//! The root filesystem as a step: a directory, a filesystem, or layers in the shape that this kernel takes.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use super::label::CONTEXT;
use super::mounts::{Entry, MountPlanError, Scene, with_source};
use super::{FsOption, Host, RootMount, RootWhat, SourceWhat, Step};
use crate::kernel::mount::{Attributes, MOST_OPENED_LAYERS};

/// The longest value that fsconfig takes, and the longest option string of the older call.
const LONGEST_VALUE: usize = 255;
const LONGEST_OPTIONS: usize = 4094;
/// What is left of that for other options beside the most layers that are opened.
const LONGEST_REST: usize = 1024;

/// Since this kernel overlayfs takes its layers one by one.
const LAYERS_ONE_BY_ONE: (u32, u32) = (6, 7);

/// The root filesystem: a mount on `/` if there is one, else the directory itself.
pub(super) fn root(scene: &Scene<'_>, entry: Option<&Entry<'_>>) -> Result<Step, MountPlanError> {
    let at = entry.map_or(0, |entry| entry.at);
    let dir = CString::new(scene.root.as_os_str().as_bytes()).map_err(|_| MountPlanError::Zero { at })?;
    let (what, attributes) = match entry {
        None if scene.users.are_apart() => {
            let number = scene.prepare(None, SourceWhat::Tree(dir.clone(), true))?;
            (RootWhat::Prepared(number), Attributes::NONE)
        }
        None => (RootWhat::Bind(dir.clone()), Attributes::NONE),
        Some(entry) => {
            let is_prepared = scene.users.are_apart() || entry.mapped(scene.users)?.is_some();
            let what = if entry.bind().is_some() {
                let source = entry.source(scene)?;
                if is_prepared {
                    RootWhat::Prepared(scene.prepare(Some(entry), SourceWhat::Tree(source, true))?)
                } else {
                    RootWhat::Bind(source)
                }
            } else if is_prepared && entry.fstype()? == "overlay" {
                let layers = one_by_one(entry)?;
                RootWhat::Prepared(scene.prepare(Some(entry), SourceWhat::Overlay(layers))?)
            } else if entry.fstype()? == "overlay" {
                overlay(entry, scene.host)?
            } else {
                RootWhat::New(entry.text(entry.fstype()?)?, with_source(entry)?)
            };
            (what, entry.options.attributes)
        }
    };
    // The way to the directory may be closed to the container's root; a place that is open to all does as well.
    let at = if scene.users.are_apart() { c"/tmp".to_owned() } else { dir };
    Ok(Step::MountRoot(Box::new(RootMount { at, what, attributes })))
}

/// An overlay in the shape this kernel takes: layer by layer, or in one string of limited length.
fn overlay(entry: &Entry<'_>, host: &Host) -> Result<RootWhat, MountPlanError> {
    let data = &entry.options.data;
    let has_escape = data.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.contains('\\')));
    let layers = |value: &str| value.split(':').map(ToOwned::to_owned).collect::<Vec<_>>();
    let is_long = |(key, value): &(String, Option<String>)| {
        let value = value.as_deref().unwrap_or_default();
        let parts = if key == "lowerdir" { layers(value) } else { vec![value.to_owned()] };
        parts.iter().any(|part| part.len() > LONGEST_VALUE)
    };
    let fstype = entry.text("overlay")?;
    if host.kernel < LAYERS_ONE_BY_ONE || has_escape || data.iter().any(is_long) {
        let joined = data.iter().map(in_one_string).collect::<Vec<_>>().join(",");
        if joined.len() > LONGEST_OPTIONS {
            let too_long = || MountPlanError::TooLong { at: entry.at, length: joined.len() };
            return if has_escape { Err(too_long()) } else { opened(entry)?.ok_or_else(too_long) };
        }
        return Ok(RootWhat::Classic(fstype, entry.text(joined)?));
    }
    Ok(RootWhat::New(fstype, one_by_one(entry)?))
}

/// An option as it stands between commas; a label has commas of its own (`selinux_sb_eat_lsm_opts`).
fn in_one_string((key, value): &(String, Option<String>)) -> String {
    match value {
        Some(value) if key == CONTEXT => format!("{key}=\"{value}\""),
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    }
}

/// The options of an overlay, with one for each layer.
fn one_by_one(entry: &Entry<'_>) -> Result<Vec<FsOption>, MountPlanError> {
    let mut options = Vec::new();
    for (key, value) in &entry.options.data {
        match value {
            Some(value) if key == "lowerdir" => {
                for layer in value.split(':') {
                    options.push((entry.text("lowerdir+")?, Some(entry.text(layer)?)));
                }
            }
            value => {
                let value = value.as_ref().map(|value| entry.text(value.as_bytes())).transpose()?;
                options.push((entry.text(key.as_bytes())?, value));
            }
        }
    }
    Ok(options)
}

/// An overlay whose layers are opened and named by their descriptors; `None` where even those names are too long.
fn opened(entry: &Entry<'_>) -> Result<Option<RootWhat>, MountPlanError> {
    let (mut below, mut rest) = (Vec::new(), Vec::new());
    for option in &entry.options.data {
        let (key, value) = option;
        match value {
            Some(value) if key == "lowerdir" => {
                for layer in value.split(':') {
                    below.push(entry.text(layer)?);
                }
            }
            Some(_) | None => rest.push(in_one_string(option)),
        }
    }
    let rest = rest.join(",");
    let fits = below.len() <= MOST_OPENED_LAYERS && rest.len() <= LONGEST_REST;
    Ok(if fits { Some(RootWhat::Opened(below, entry.text(rest)?)) } else { None })
}
