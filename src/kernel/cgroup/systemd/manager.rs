//! Which systemd is asked: the host's, or that of an ordinary user (systemd(1), `--user`).

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The host's bus, unless the environment names another.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// The systemd that makes scopes for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The one that has begun the host.
    Host,
    /// The one of the user with this number.
    OfUser(u32),
}

impl Manager {
    /// Root has the host's, everybody else their own.
    ///
    /// Root of a user namespace has the host's if the bus belongs to the same root, as it does in a system container; to
    /// root of a namespace that an ordinary user has made, the bus belongs to nobody.
    #[must_use]
    pub fn ours() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let bus = Self::Host.bus();
        choose(&map, geteuid().as_raw(), fs::metadata(bus).ok().map(|socket| socket.uid()))
    }

    /// The slice of scopes that are given none.
    #[must_use]
    pub fn usual_slice(self) -> &'static str {
        match self {
            Self::Host => "system.slice",
            Self::OfUser(_) => "user.slice",
        }
    }

    /// The socket of its bus.
    pub(super) fn bus(self) -> PathBuf {
        let named = |variable: &str| socket_in(&env::var(variable).unwrap_or_default());
        match self {
            Self::Host => named("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.into()),
            Self::OfUser(uid) => named("DBUS_SESSION_BUS_ADDRESS").unwrap_or_else(|| {
                let directory = env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
                directory.map_or_else(|| format!("/run/user/{uid}").into(), PathBuf::from).join("bus")
            }),
        }
    }
}

fn choose(map: &str, uid: u32, owner_of_bus: Option<u32>) -> Manager {
    let outside = outside(map, uid);
    if uid == 0 && (owner_of_bus == Some(0) || (owner_of_bus.is_none() && outside == 0)) {
        return Manager::Host;
    }
    Manager::OfUser(outside)
}

/// Who a user of this user namespace is outside of it, by the lines of `uid_map` (user_namespaces(7)).
fn outside(map: &str, uid: u32) -> u32 {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map_while(|number| number.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next()?, numbers.next()?))
    });
    let mut theirs = lines.filter_map(|(inside, outside, count)| {
        let at = uid.checked_sub(inside).filter(|at| *at < count)?;
        outside.checked_add(at)
    });
    theirs.next().unwrap_or(uid)
}

/// The path in an address such as `unix:path=/run/user/1000/bus,guid=…;…` (D-Bus specification, "Server Addresses").
fn socket_in(address: &str) -> Option<PathBuf> {
    address.split(';').find_map(|one| {
        let rest = one.strip_prefix("unix:")?;
        rest.split(',').find_map(|pair| pair.strip_prefix("path=")).map(|path| Path::new(path).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "         0          0 4294967295\n";
    const OF_A_USER: &str = "         0       1000          1\n         1     100000      65536\n";

    #[test]
    fn root_has_the_hosts_and_everybody_else_their_own() {
        let nobody = Some(65534);
        assert_eq!(choose(WHOLE, 0, Some(0)), Manager::Host);
        assert_eq!(choose(WHOLE, 0, None), Manager::Host);
        assert_eq!(choose(WHOLE, 1000, Some(0)), Manager::OfUser(1000));
        assert_eq!(choose(OF_A_USER, 0, nobody), Manager::OfUser(1000));
        assert_eq!(choose(OF_A_USER, 5, nobody), Manager::OfUser(100_004));
        assert_eq!(choose(OF_A_USER, 0, None), Manager::OfUser(1000));
        // A system container with a systemd and a bus of its own.
        assert_eq!(choose("0 100000 65536\n", 0, Some(0)), Manager::Host);
        assert_eq!(choose("rubbish", 7, None), Manager::OfUser(7));
    }

    #[test]
    fn an_address_may_name_several_places() {
        let path = |address| socket_in(address).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/run/user/7/bus").unwrap(), "/run/user/7/bus");
        assert_eq!(path("tcp:host=a;unix:guid=1,path=/a/b").unwrap(), "/a/b");
        assert_eq!(path("unix:abstract=/a"), None);
        assert_eq!(path(""), None);
    }
}
