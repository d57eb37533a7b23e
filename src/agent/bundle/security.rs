//! What a container's processes may do: capabilities and Docker's security options.

use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxSeccomp,
};

use super::{BundleError, Recipe};
use crate::agent::users;
use crate::shim::defaults;

/// What Docker's security options ask for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) no_new_privileges: bool,
    pub(super) apparmor_profile: Option<String>,
    /// Whether its system calls are filtered.
    pub(super) is_filtered: bool,
}

/// Reads the options; those that this host does not enforce become notes.
pub(super) fn options(recipe: &Recipe<'_>, notes: &mut Vec<String>) -> Result<Options, BundleError> {
    let is_free = recipe.policy.allow_new_privileges || recipe.is_privileged();
    let mut options =
        Options { no_new_privileges: !is_free, apparmor_profile: None, is_filtered: !recipe.is_privileged() };
    for option in &recipe.definition.docker_security_options {
        match option.split_once([':', '=']).unwrap_or((option, "")) {
            ("no-new-privileges", "" | "true") => options.no_new_privileges = true,
            ("no-new-privileges", "false") => options.no_new_privileges = false,
            ("apparmor", profile) if !profile.is_empty() => {
                options.apparmor_profile = Some(profile.to_owned());
            }
            ("seccomp", "unconfined") => options.is_filtered = false,
            ("seccomp", "builtin") => options.is_filtered = true,
            // Whose users they are is decided for the task.
            (users::OPTION, "task" | "host") => {}
            ("label" | "credentialspec" | "credentialspecdomainless", _) => {
                let name = &recipe.definition.name;
                notes.push(format!(
                    "container {name}: security option {option:?} is not enforced on this host"
                ));
            }
            _ => return Err(BundleError::SecurityOption(option.clone())),
        }
    }
    Ok(options)
}

/// The filter of its system calls; none where it asks for none.
pub(super) fn filter(recipe: &Recipe<'_>, options: &Options) -> Result<Option<LinuxSeccomp>, BundleError> {
    if !options.is_filtered {
        return Ok(None);
    }
    let mut filter = defaults::seccomp(&bounding(recipe)?)?;
    if recipe.is_counted {
        defaults::keep_project(&mut filter)?;
    }
    Ok(Some(filter))
}

/// The capabilities that it may have at most.
fn bounding(recipe: &Recipe<'_>) -> Result<Capabilities, BundleError> {
    if recipe.is_privileged() { Ok(defaults::all_capabilities()) } else { chosen(recipe) }
}

/// The same set in every place, so that root keeps it over an exec; another user's processes start with none.
pub(super) fn capabilities(recipe: &Recipe<'_>) -> Result<LinuxCapabilities, BundleError> {
    let set = bounding(recipe)?;
    let is_root = recipe.user.uid == 0;
    let own = if is_root { set.clone() } else { Capabilities::new() };
    Ok(LinuxCapabilitiesBuilder::default()
        .bounding(set)
        .permitted(own.clone())
        .effective(own)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()?)
}

/// Adding `ALL` is everything less what is dropped; dropping `ALL` is exactly what is added; otherwise the usual set
/// is dropped from, then added to.
fn chosen(recipe: &Recipe<'_>) -> Result<Capabilities, BundleError> {
    let asked = recipe.definition.linux_parameters.as_ref().and_then(|linux| linux.capabilities.as_ref());
    let Some(asked) = asked else { return Ok(defaults::capabilities()) };
    let is_all = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case("ALL"));
    let (add, drop) = (named(&asked.add)?, named(&asked.drop)?);
    if is_all(&asked.add) {
        return Ok(defaults::all_capabilities().difference(&drop).copied().collect());
    }
    if is_all(&asked.drop) {
        return Ok(add);
    }
    Ok(defaults::capabilities().difference(&drop).chain(&add).copied().collect())
}

fn named(names: &[String]) -> Result<Capabilities, BundleError> {
    let parse = |name: &String| {
        let word = name.to_ascii_uppercase();
        let word = word.strip_prefix("CAP_").unwrap_or(&word);
        word.parse::<Capability>().map_err(|_| BundleError::Capability(name.clone()))
    };
    names.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")).map(parse).collect()
}
