//! Scopes: control groups that systemd makes, so that it knows of them and leaves them alone.
//!
//! A scope is begun with a process in it. A placeholder is that process until the container's own has been born there.
//! systemd is asked over its bus, by a client of a few messages ([`bus`], [`message`]). Ordinary users have a systemd of
//! their own ([`manager`]), whose scopes lie below what the host's has given it.

mod bus;
mod manager;
mod message;
mod properties;

use std::io;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;

use super::{CgroupError, CgroupPath};
use crate::kernel::process::{self, Child, CloneRequest, Pid, Signal};
use bus::{Bus, MANAGER, PEER_OF_MANAGER, PROPERTIES_OF_MANAGER};
pub use manager::Manager;
use message::{Target, Value, Writer};
use properties::limits;

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Not a place in the form that systemd's groups have.
    #[error("{0:?} is not of the form slice:prefix:name")]
    Form(String),
    /// No bus to ask on.
    #[error("{}", no_bus(*manager))]
    Connect {
        /// Whose.
        manager: Manager,
        /// Why.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("ask systemd for {act} of {unit}")]
    Talk {
        /// What was asked for.
        act: &'static str,
        /// The unit.
        unit: String,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("systemd refuses {act} of {unit}: {text} ({name})")]
    Refused {
        /// What was asked for.
        act: &'static str,
        /// The unit.
        unit: String,
        /// The error's name on the bus.
        name: String,
        /// Its words.
        text: String,
    },
    /// The job came to nothing.
    #[error("systemd's job for {unit} ended as {result:?}")]
    Job {
        /// The unit.
        unit: String,
        /// How.
        result: String,
    },
}

fn no_bus(manager: Manager) -> String {
    let path = manager.bus();
    match manager {
        Manager::Host => format!("connect to the system bus at {}", path.display()),
        Manager::OfUser(uid) => format!(
            "connect to the bus of user {uid} at {}, which is there while they are logged in, or with loginctl enable-linger",
            path.display()
        ),
    }
}

/// A scope's name and the slice that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    slice: String,
    unit: String,
}

/// A scope that has begun, and the process that keeps it until another is in it.
#[derive(Debug)]
pub struct Begun(Child);

impl Drop for Begun {
    fn drop(&mut self) {
        // One that has ended is reaped all the same.
        let _ = self.0.pidfd.signal(Signal::KILL);
        let _ = self.0.pidfd.wait();
    }
}

/// Whether systemd is there and answers on its bus.
pub fn answers() -> Result<(), SystemdError> {
    let systemd = Scope::named("systemd");
    systemd
        .ask_of(PEER_OF_MANAGER, &mut connect()?, "a sign of life", "Ping", "", &Writer::default())
        .map(drop)
}

fn connect() -> Result<Bus, SystemdError> {
    Bus::connect(Manager::ours())
}

impl Manager {
    /// The group that its units lie below, from the root of the hierarchy.
    fn group(self) -> Result<PathBuf, SystemdError> {
        match self {
            Self::Host => Ok(PathBuf::new()),
            Self::OfUser(_) => {
                let systemd = Scope::named("systemd");
                let mut body = Writer::default();
                body.text(MANAGER.interface);
                body.text("ControlGroup");
                let bus = &mut Bus::connect(self)?;
                let group = systemd.ask_of(PROPERTIES_OF_MANAGER, bus, "the group", "Get", "ss", &body)?;
                Ok(group.into())
            }
        }
    }
}

impl Scope {
    /// Reads `slice:prefix:name`; without a slice it is the usual one.
    pub fn parse(text: &str, usual_slice: &str) -> Result<Self, SystemdError> {
        let error = || SystemdError::Form(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Err(error()) };
        let slice = if slice.is_empty() { usual_slice } else { slice };
        let is_good = |text: &str| !text.contains(['/', '\0']) && !text.contains("..");
        let stem = slice.strip_suffix(".slice").ok_or_else(error)?;
        let is_slice = stem == "-" || stem.split('-').all(|part| !part.is_empty());
        if name.is_empty() || !is_slice || ![slice, prefix, name].into_iter().all(is_good) {
            return Err(error());
        }
        let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        Ok(Self { slice: slice.to_owned(), unit })
    }

    /// A scope by its name alone, as a record has it.
    #[must_use]
    pub fn named(unit: &str) -> Self {
        Self { slice: String::new(), unit: unit.to_owned() }
    }

    /// Its name.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// Where that systemd makes it. One of a user is asked where that is.
    pub fn path_of(&self, manager: Manager) -> Result<CgroupPath, CgroupError> {
        CgroupPath::parse(&manager.group()?.join(self.place()).to_string_lossy())
    }

    /// Where the host's systemd makes it: each dash in a slice's name is one level down.
    pub fn path(&self) -> Result<CgroupPath, CgroupError> {
        CgroupPath::parse(&self.place().to_string_lossy())
    }

    /// The same, not checked.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        let stem = self.slice.trim_end_matches(".slice");
        let levels = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        let slices = levels.filter(|_| stem != "-").map(|at| format!("{}.slice", &stem[..at]));
        slices.chain([self.unit.clone()]).collect()
    }

    /// The scope `name` of an instance whose groups would lie below `parent` if they were made by files: in a slice of
    /// that name, as systemd writes paths in names. `parent` and `name` are of letters, digits, `-`, `_` and `.`, the
    /// former in parts separated by `/`.
    #[must_use]
    pub fn below(parent: &str, name: &str) -> Self {
        let stem = parent.trim_matches('/').replace('-', r"\x2d").replace('/', "-");
        Self { slice: format!("{stem}.slice"), unit: format!("{stem}-{name}.scope") }
    }

    /// The slice that it lies in.
    #[must_use]
    pub fn slice(&self) -> &str {
        &self.slice
    }

    /// Has systemd make the scope, with the limits that it knows itself. The caller must have one thread.
    pub fn begin(&self, resources: Option<&LinuxResources>) -> Result<Begun, SystemdError> {
        let placeholder = process::clone(&CloneRequest::default(), || {
            if process::die_with_parent(Signal::KILL).is_ok() {
                nix::unistd::pause();
            }
            0
        });
        let placeholder = Begun(placeholder.map_err(|errno| self.talk("the start", errno.into()))?);
        self.start("container", placeholder.0.pid, resources)?;
        Ok(placeholder)
    }

    /// Has systemd make the scope around this process, which begins a task in it. It lasts until the last process in it
    /// has ended; limits are the business of whoever asks, below it.
    pub fn begin_around_self(&self) -> Result<(), SystemdError> {
        self.start("task", Pid::this(), None)
    }

    fn start(&self, what: &str, first: Pid, resources: Option<&LinuxResources>) -> Result<(), SystemdError> {
        let mut properties = vec![
            ("Description", Value::Text(format!("{what} {}", self.unit.trim_end_matches(".scope")))),
            ("Slice", Value::Text(self.slice.clone())),
            ("PIDs", Value::Pids(vec![first.as_raw().unsigned_abs()])),
            ("Delegate", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
            // One that has failed is forgotten like any other.
            ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
            ("MemoryAccounting", Value::Bool(true)),
            ("CPUAccounting", Value::Bool(true)),
            ("TasksAccounting", Value::Bool(true)),
            ("IOAccounting", Value::Bool(true)),
        ];
        properties.extend(limits(resources));
        let mut bus = connect()?;
        let start = |bus: &mut Bus| {
            let mut body = Writer::default();
            body.text(&self.unit);
            body.text("fail");
            body.properties(&properties);
            body.no_units();
            self.job(bus, "the start", "StartTransientUnit", "ssa(sv)a(sa(sv))", &body)
        };
        match start(&mut bus) {
            Err(SystemdError::Refused { name, .. }) if name.ends_with(".UnitExists") => {
                // What is left of one that failed stands in the way until it is forgotten.
                self.forget(&mut bus)?;
                start(&mut bus)
            }
            other => other,
        }
    }

    /// Has systemd move a process into the scope, which one without the right to write to the groups above cannot do
    /// itself (Linux' cgroup-v2.rst, "Delegation Containment").
    pub fn take_in(&self, pid: Pid) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(&self.unit);
        body.text("");
        body.pids(&[pid.as_raw().unsigned_abs()]);
        self.ask(&mut connect()?, "a process", "AttachProcessesToUnit", "ssau", &body).map(drop)
    }

    /// Has systemd keep other limits.
    pub fn change(&self, resources: &LinuxResources) -> Result<(), SystemdError> {
        let properties: Vec<_> = limits(Some(resources)).collect();
        if properties.is_empty() {
            return Ok(());
        }
        let mut body = Writer::default();
        body.text(&self.unit);
        body.bool(true);
        body.properties(&properties);
        self.ask(&mut connect()?, "new limits", "SetUnitProperties", "sba(sv)", &body).map(drop)
    }

    /// Has systemd end the scope. One that is gone already has ended.
    pub fn end(&self) -> Result<(), SystemdError> {
        let mut bus = connect()?;
        let mut body = Writer::default();
        body.text(&self.unit);
        body.text("replace");
        match self.job(&mut bus, "the stop", "StopUnit", "ss", &body) {
            Err(SystemdError::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => Ok(()),
            Err(err) => Err(err),
            Ok(()) => self.forget(&mut bus),
        }
    }

    fn forget(&self, bus: &mut Bus) -> Result<(), SystemdError> {
        let mut body = Writer::default();
        body.text(&self.unit);
        match self.ask(bus, "the reset", "ResetFailedUnit", "s", &body) {
            // It did not fail, or is not there any more.
            Ok(_) | Err(SystemdError::Refused { .. }) => Ok(()),
            Err(err) => Err(err),
        }
    }

    fn talk(&self, act: &'static str, source: io::Error) -> SystemdError {
        SystemdError::Talk { act, unit: self.unit.clone(), source }
    }

    fn ask(
        &self,
        bus: &mut Bus,
        act: &'static str,
        member: &str,
        signature: &str,
        body: &Writer,
    ) -> Result<String, SystemdError> {
        self.ask_of(MANAGER, bus, act, member, signature, body)
    }

    fn ask_of(
        &self,
        target: Target,
        bus: &mut Bus,
        act: &'static str,
        member: &str,
        signature: &str,
        body: &Writer,
    ) -> Result<String, SystemdError> {
        let serial = bus.call(target, member, signature, body).map_err(|err| self.talk(act, err))?;
        bus.answer(serial).map_err(|err| self.talk(act, err))?.map_err(|(name, text)| SystemdError::Refused {
            act,
            unit: self.unit.clone(),
            name,
            text,
        })
    }

    /// Asks for something that takes a job, and waits until that is done.
    fn job(
        &self,
        bus: &mut Bus,
        act: &'static str,
        member: &str,
        signature: &str,
        body: &Writer,
    ) -> Result<(), SystemdError> {
        let job = self.ask(bus, act, member, signature, body)?;
        let result = bus.job_result(&job).map_err(|err| self.talk(act, err))?;
        if result == "done" { Ok(()) } else { Err(SystemdError::Job { unit: self.unit.clone(), result }) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_slice_is_a_path_with_a_level_for_each_dash() {
        let path = |text: &str| {
            Scope::parse(text, "system.slice").unwrap().path().unwrap().as_path().display().to_string()
        };
        assert_eq!(path("machine.slice:libpod:abc"), "machine.slice/libpod-abc.scope");
        assert_eq!(path("a-b-c.slice:cri:x"), "a.slice/a-b.slice/a-b-c.slice/cri-x.scope");
        assert_eq!(path("::x"), "system.slice/x.scope");
        assert_eq!(path("-.slice:p:x"), "p-x.scope");
        let below = Scope::below("/edge/a-b", "x");
        assert_eq!(below.place(), Path::new(r"edge.slice/edge-a\x2db.slice/edge-a\x2db-x.scope"));
        for bad in
            ["/a/b", "a.slice:b", "a:b:c", "a--b.slice:p:x", "-a.slice:p:x", "a.slice:p:", "a.slice:../p:x"]
        {
            assert!(Scope::parse(bad, "system.slice").is_err(), "{bad}");
        }
    }
}
