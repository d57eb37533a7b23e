//! Hooks that run where the runtime does.

use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::{Hook, Hooks};

use super::{HookError, Prepared};
use crate::runtime::handshake::Part;

/// A sort of hook that runs where the runtime does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Deprecated: once it ran at the start of a container, and is still told that it is created.
    Prestart,
    /// While the container is made.
    CreateRuntime,
    /// After the program was started.
    Poststart,
    /// After the container was deleted.
    Poststop,
}

impl Outside {
    /// Its name in a specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The status that it is told.
    pub(in crate::runtime) const fn status(self) -> &'static str {
        match self {
            Self::Prestart => "created",
            Self::CreateRuntime => "creating",
            Self::Poststart => "running",
            Self::Poststop => "stopped",
        }
    }

    #[allow(deprecated, reason = "still written by container managers")]
    fn of(self, hooks: &Hooks) -> &[Hook] {
        let list = match self {
            Self::Prestart => hooks.prestart(),
            Self::CreateRuntime => hooks.create_runtime(),
            Self::Poststart => hooks.poststart(),
            Self::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}

/// Runs the hooks of one sort in order, up to the first that fails. The caller must have one thread.
pub(in crate::runtime) fn run_outside(hooks: &Hooks, kind: Outside, state: &str) -> Result<(), HookError> {
    for (at, hook) in kind.of(hooks).iter().enumerate() {
        run_one(kind, at, hook, state)?;
    }
    Ok(())
}

/// Runs all hooks of one sort, whatever becomes of each, and returns what failed.
pub(in crate::runtime) fn run_all(hooks: &Hooks, kind: Outside, state: &str) -> Vec<HookError> {
    kind.of(hooks).iter().enumerate().filter_map(|(at, hook)| run_one(kind, at, hook, state).err()).collect()
}

fn run_one(kind: Outside, at: usize, hook: &Hook, state: &str) -> Result<(), HookError> {
    let error = |reason: String| HookError { kind: kind.name(), at, reason };
    let prepared = Prepared::of(hook).ok_or_else(|| error("holds a zero byte".to_owned()))?;
    prepared
        .run([state.as_bytes(), b"", b""])
        .map_err(|failure| error(describe(hook.path(), failure.part, failure.code)))
}

/// What became of a hook, in words.
pub(in crate::runtime) fn describe(path: &Path, part: Part, code: i32) -> String {
    let path = path.display();
    match part {
        Part::HookCode => format!("{path} ended with exit code {code}"),
        Part::HookSignal => format!("{path} was ended by signal {code}"),
        Part::HookTimeout => format!("{path} was not done in {code} seconds"),
        Part::Whole | Part::Source | Part::Target | Part::Attributes | Part::Type | Part::Option => {
            format!("{path}: {}", Errno::from_raw(code))
        }
    }
}
