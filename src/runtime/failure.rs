//! Why a program did not come to run, in the words users know.

use nix::errno::Errno;

use super::handshake::Part;

/// Why a program could not be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecFailure {
    program: String,
    part: Part,
    code: i32,
    hook: u16,
}

impl std::error::Error for ExecFailure {}

impl std::fmt::Display for ExecFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { program, code, hook, .. } = self;
        let reason = Errno::from_raw(*code).desc().to_lowercase();
        match self.part {
            Part::Source => {
                write!(f, "exec: {program:?}: the runtime's own executable is not to be run in a container")
            }
            Part::Attributes => write!(f, "exec: {program:?}: load the system call filter: {reason}"),
            Part::HookCode => write!(f, "hooks.startContainer[{hook}]: ended with exit code {code}"),
            Part::HookSignal => write!(f, "hooks.startContainer[{hook}]: was ended by signal {code}"),
            Part::HookTimeout => write!(f, "hooks.startContainer[{hook}]: was not done in {code} seconds"),
            Part::Whole | Part::Target | Part::Type | Part::Option => {
                if *code == libc::ENOENT && !program.contains('/') {
                    return write!(f, "exec: {program:?}: executable file not found in $PATH");
                }
                write!(f, "exec: {program:?}: {reason}")
            }
        }
    }
}

impl ExecFailure {
    pub(super) fn new(program: &str, (part, code): (Part, i32), hook: u16) -> Self {
        Self { program: program.to_owned(), part, code, hook }
    }

    /// The kernel's reason.
    #[must_use]
    pub fn errno(&self) -> Errno {
        Errno::from_raw(self.code)
    }

    /// The exit code a shell would give: 127 for what is not there, 126 for what cannot be executed, 1 for what never
    /// got that far.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self.part {
            Part::HookCode | Part::HookSignal | Part::HookTimeout | Part::Attributes => 1,
            Part::Whole | Part::Source | Part::Target | Part::Type | Part::Option => {
                if self.code == libc::ENOENT { 127 } else { 126 }
            }
        }
    }
}
