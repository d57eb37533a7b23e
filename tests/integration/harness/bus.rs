//! A real bus with a manager on it that notes what it is asked to do with scopes.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{PATIENCE, skipped, wait_for};

/// The variable that tells programs where the system bus is.
pub const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// Debian's, which has Debian's modules; another may come before it in the search path.
const PYTHON: &str = "/usr/bin/python3";

/// A bus with a manager on it, for one test.
pub struct Bus {
    daemon: Child,
    manager: Child,
    dir: tempfile::TempDir,
}

impl Bus {
    /// Begins the bus; none where the programs for it are missing.
    pub fn begin() -> Option<Self> {
        let has_python = Command::new(PYTHON).args(["-c", "import dbus, gi"]).output();
        let has_daemon = Command::new("dbus-daemon").arg("--version").output();
        if !has_python.is_ok_and(|ran| ran.status.success())
            || !has_daemon.is_ok_and(|ran| ran.status.success())
        {
            skipped("dbus-daemon, python3-dbus or python3-gi is missing");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let configuration = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context='default'><allow user='*'/><allow own='*'/><allow send_type='*'/>\
             <allow receive_type='*'/></policy></busconfig>",
            dir.path().join("bus").display()
        );
        fs::write(dir.path().join("bus.conf"), configuration).expect("the bus's configuration");
        fs::write(dir.path().join("systemd.py"), include_str!("systemd.py")).expect("the manager's program");
        let daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", dir.path().join("bus.conf").display()))
            .args(["--nofork", "--nopidfile"])
            .stdout(Stdio::null())
            .spawn()
            .expect("dbus-daemon runs");
        wait_for("the bus", PATIENCE, || dir.path().join("bus").exists().then_some(()));
        let manager = Command::new(PYTHON)
            .arg(dir.path().join("systemd.py"))
            .arg(dir.path().join("notes"))
            .env(ADDRESS, address(dir.path()))
            .spawn()
            .expect("python runs");
        let bus = Self { daemon, manager, dir };
        wait_for("the manager", PATIENCE, || bus.notes().first().map(drop));
        Some(bus)
    }

    /// Where it is, as [`ADDRESS`] says it.
    pub fn address(&self) -> String {
        address(self.dir.path())
    }

    /// What the manager was asked, in order; the first says that it is ready.
    pub fn notes(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("notes")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for child in [&mut self.manager, &mut self.daemon] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn address(dir: &Path) -> String {
    format!("unix:path={}", dir.join("bus").display())
}
