//! Scopes: control groups that systemd makes, so that it knows of them and leaves them alone.
//!
//! A scope is begun with a process in it. A placeholder is that process until the container's own has been born there.
//! systemd is asked over the system bus, by a client of a few messages ([`bus`], [`message`]).

mod bus;
mod message;

use std::io;
use std::path::PathBuf;

use oci_spec::runtime::LinuxResources;

use super::{CgroupError, CgroupPath, weight_of_shares};
use crate::kernel::process::{self, Child, CloneRequest, Signal};
use bus::{Bus, MANAGER};
use message::{Value, Writer};

/// Why systemd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// Not a place in the form that systemd's groups have.
    #[error("{0:?} is not of the form slice:prefix:name")]
    Form(String),
    /// No bus to ask on.
    #[error("connect to the system bus at {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
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

impl Scope {
    /// Reads `slice:prefix:name`; without a slice it is the system's.
    pub fn parse(text: &str) -> Result<Self, SystemdError> {
        let error = || SystemdError::Form(text.to_owned());
        let parts: Vec<&str> = text.split(':').collect();
        let [slice, prefix, name] = parts[..] else { return Err(error()) };
        let slice = if slice.is_empty() { "system.slice" } else { slice };
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

    /// Where systemd makes it: each dash in a slice's name is one level down.
    pub fn path(&self) -> Result<CgroupPath, CgroupError> {
        let stem = self.slice.trim_end_matches(".slice");
        let mut path = String::new();
        if stem != "-" {
            for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
                path.push('/');
                path.push_str(&stem[..at]);
                path.push_str(".slice");
            }
        }
        CgroupPath::parse(&format!("{path}/{}", self.unit))
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
        let pid = placeholder.0.pid.as_raw().unsigned_abs();
        let mut properties = vec![
            ("Description", Value::Text(format!("container {}", self.unit.trim_end_matches(".scope")))),
            ("Slice", Value::Text(self.slice.clone())),
            ("PIDs", Value::Pids(vec![pid])),
            ("Delegate", Value::Bool(true)),
            ("DefaultDependencies", Value::Bool(false)),
            ("MemoryAccounting", Value::Bool(true)),
            ("CPUAccounting", Value::Bool(true)),
            ("TasksAccounting", Value::Bool(true)),
            ("IOAccounting", Value::Bool(true)),
        ];
        properties.extend(limits(resources));
        let mut bus = Bus::connect()?;
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
                start(&mut bus)?;
            }
            other => other?,
        }
        Ok(placeholder)
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
        self.ask(&mut Bus::connect()?, "new limits", "SetUnitProperties", "sba(sv)", &body).map(drop)
    }

    /// Has systemd end the scope. One that is gone already has ended.
    pub fn end(&self) -> Result<(), SystemdError> {
        let mut bus = Bus::connect()?;
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
        let serial = bus.call(MANAGER, member, signature, body).map_err(|err| self.talk(act, err))?;
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

/// The limits that systemd has properties for.
fn limits(resources: Option<&LinuxResources>) -> impl Iterator<Item = (&'static str, Value)> {
    let cpu = resources.and_then(|resources| resources.cpu().as_ref());
    let memory = resources.and_then(|resources| resources.memory().as_ref());
    let positive = |number: Option<i64>| {
        // Below zero there is no limit, at zero nothing is said.
        let number = number.filter(|number| *number != 0)?;
        Some(Value::Number(u64::try_from(number).unwrap_or(u64::MAX)))
    };
    let quota = cpu.and_then(|cpu| {
        let period = cpu.period().filter(|period| *period > 0).unwrap_or(100_000);
        let quota = cpu.quota().filter(|quota| *quota != 0)?;
        // Of each second, in steps of ten milliseconds as systemd counts.
        let second = u64::try_from(quota)
            .map_or(u64::MAX, |quota| (quota.saturating_mul(1_000_000) / period).next_multiple_of(10_000));
        Some(Value::Number(second))
    });
    let weight =
        cpu.and_then(oci_spec::runtime::LinuxCpu::shares).and_then(weight_of_shares).map(Value::Number);
    let tasks =
        resources.and_then(|resources| resources.pids().as_ref()).map(oci_spec::runtime::LinuxPids::limit);
    [
        ("MemoryMax", positive(memory.and_then(oci_spec::runtime::LinuxMemory::limit))),
        ("MemoryLow", positive(memory.and_then(oci_spec::runtime::LinuxMemory::reservation))),
        ("TasksMax", positive(tasks)),
        ("CPUQuotaPerSecUSec", quota),
        ("CPUWeight", weight),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_a_path_with_a_level_for_each_dash() {
        let path = |text: &str| Scope::parse(text).unwrap().path().unwrap().as_path().display().to_string();
        assert_eq!(path("machine.slice:libpod:abc"), "machine.slice/libpod-abc.scope");
        assert_eq!(path("a-b-c.slice:cri:x"), "a.slice/a-b.slice/a-b-c.slice/cri-x.scope");
        assert_eq!(path("::x"), "system.slice/x.scope");
        assert_eq!(path("-.slice:p:x"), "p-x.scope");
        for bad in
            ["/a/b", "a.slice:b", "a:b:c", "a--b.slice:p:x", "-a.slice:p:x", "a.slice:p:", "a.slice:../p:x"]
        {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_become_properties() {
        let resources: LinuxResources = serde_json::from_value(serde_json::json!({
            "memory": {"limit": 1 << 20}, "pids": {"limit": -1},
            "cpu": {"shares": 1024, "quota": 25_000, "period": 50_000},
        }))
        .unwrap();
        let said: Vec<_> = limits(Some(&resources)).collect();
        assert_eq!(
            said,
            [
                ("MemoryMax", Value::Number(1 << 20)),
                ("TasksMax", Value::Number(u64::MAX)),
                ("CPUQuotaPerSecUSec", Value::Number(500_000)),
                ("CPUWeight", Value::Number(100)),
            ]
        );
        assert_eq!(limits(None).count(), 0);
    }
}
