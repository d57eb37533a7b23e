//! Questions about the machine, each answered with `Ok` or with the reason for skipping.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a probe answers.
pub type Probe = Result<(), String>;

/// Namespaces, mounts and cgroups need root.
pub fn root() -> Probe {
    if nix::unistd::geteuid().is_root() { Ok(()) } else { Err("needs root".to_owned()) }
}

/// A network namespace of the test's own.
pub fn netns() -> Probe {
    root()?;
    let works = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
    match works {
        Ok(status) if status.success() => program("ip"),
        Ok(_) => Err("this machine refuses new network namespaces".to_owned()),
        Err(_) => Err("unshare (util-linux) is not installed".to_owned()),
    }
}

/// Everything an [`Instance`](super::Instance) stands on.
pub fn host() -> Probe {
    netns()?;
    overlay()?;
    if cgroup_mounts().is_empty() { Err("no cgroup file system is mounted".to_owned()) } else { Ok(()) }
}

/// The official clients of ECS: the `aws` command and boto3.
pub fn clients() -> Probe {
    client("aws")
}

/// A program that is made with the official SDK for Rust.
pub fn rust_sdk() -> Probe {
    client("aws-sdk")
}

fn client(name: &str) -> Probe {
    let program = super::clients::program(name);
    let place = program.display();
    if program.exists() { Ok(()) } else { Err(format!("{place} is not there: scripts/test installs it")) }
}

/// The overlay file system.
pub fn overlay() -> Probe {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.ends_with("\toverlay")) {
        Ok(())
    } else {
        Err("the kernel has no overlay file system loaded".to_owned())
    }
}

/// The memory controller.
pub fn cgroup_memory() -> Probe {
    controller("memory")
}

/// The CPU controller.
pub fn cgroup_cpu() -> Probe {
    controller("cpu")
}

/// The pids controller.
pub fn cgroup_pids() -> Probe {
    controller("pids")
}

/// Control groups of version 2 and none of version 1.
pub fn cgroup_v2() -> Probe {
    root()?;
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let has = |kind: &str| table.lines().any(|line| line.split(' ').nth(2) == Some(kind));
    if has("cgroup2") && !has("cgroup") {
        Ok(())
    } else {
        Err("needs pure version 2 control groups".to_owned())
    }
}

/// A systemd that made this host, and its bus.
pub fn systemd() -> Probe {
    root()?;
    if ["/run/systemd/system", "/run/dbus/system_bus_socket"].iter().all(|place| Path::new(place).exists()) {
        Ok(())
    } else {
        Err("systemd, or its bus, does not run here".to_owned())
    }
}

/// Control groups that the runtime makes itself.
pub fn files_driver() -> Probe {
    match std::env::var_os("HYTHE_CGROUP_DRIVER") {
        Some(name) if name == "systemd" => {
            Err("a control group that systemd makes cannot be elsewhere".into())
        }
        Some(_) | None => Ok(()),
    }
}

/// The io controller.
pub fn cgroup_io() -> Probe {
    controller("io")
}

/// Pressure stall information.
pub fn pressure() -> Probe {
    if Path::new("/proc/pressure/cpu").exists() {
        Ok(())
    } else {
        Err("the kernel measures no pressure".to_owned())
    }
}

/// A disk below the directory for temporary files, whose reads and writes the io controller sees.
pub fn disk() -> Probe {
    if super::disk_of(&std::env::temp_dir()).is_some() {
        Ok(())
    } else {
        Err("temporary files are not on a disk of their own".to_owned())
    }
}

/// A file system in a file that holds projects to limits, of ext4.
pub fn ext4_quota() -> Probe {
    mounted("ext4", "prjquota")
}

/// The same of xfs.
pub fn xfs_quota() -> Probe {
    mounted("xfs", "prjquota")
}

/// A file system in a file that knows projects and need not limit them.
pub fn xfs() -> Probe {
    mounted("xfs", "noquota")
}

fn mounted(kind: &str, options: &str) -> Probe {
    root()?;
    program(&format!("mkfs.{kind}"))?;
    super::disk::own_mounts();
    let folder = tempfile::tempdir().map_err(|err| err.to_string())?;
    let (file, at) = (folder.path().join("file"), folder.path().join("at"));
    fs::create_dir(&at).map_err(|err| err.to_string())?;
    let mounted = super::disk::file_system(kind, &file, 512 << 20, options, &at);
    mounted.map_err(|why| format!("no {kind} with {options} can be mounted here: {why}"))?;
    nix::mount::umount2(&at, nix::mount::MntFlags::empty()).map_err(|err| err.to_string())
}

/// nftables, as an oracle.
pub fn nft() -> Probe {
    root()?;
    program("nft")
}

/// Debian's static busybox, which the test images are made of.
pub fn busybox() -> Probe {
    program("busybox")
}

/// Debian's docker-registry.
pub fn registry() -> Probe {
    program("docker-registry")
}

/// OpenSSL's program, which makes certificates.
pub fn openssl() -> Probe {
    program("openssl")
}

/// Debian's rsyslog, with what it needs for TLS.
pub fn rsyslogd() -> Probe {
    program("rsyslogd")?;
    let modules = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let has_tls = modules.into_iter().any(|lib| Path::new(lib).join("rsyslog/lmnsd_gtls.so").exists());
    if has_tls { Ok(()) } else { Err("rsyslog-gnutls is not installed".to_owned()) }
}

/// The journal of systemd, as a program that runs without it.
pub fn journald() -> Probe {
    root()?;
    let program_of_it = "/lib/systemd/systemd-journald";
    if !Path::new(program_of_it).exists() {
        return Err(format!("{program_of_it} is not there"));
    }
    program("journalctl").and_then(|()| program("unshare"))
}

/// debootstrap, which makes the Debian image.
pub fn debootstrap() -> Probe {
    root()?;
    program("debootstrap")
}

/// podman, and the program that minds its containers.
pub fn podman() -> Probe {
    root()?;
    program("podman").and_then(|()| program("conmon"))
}

/// The programs of Debian's docker.io.
pub fn docker() -> Probe {
    root()?;
    program("dockerd").and_then(|()| program("docker")).and_then(|()| program("containerd"))
}

/// A C compiler that makes static programs.
pub fn compiler() -> Probe {
    program("cc")
}

/// A mount namespace for commands of the test.
pub fn unshare() -> Probe {
    root()?;
    program("unshare")
}

/// A tracer of system calls.
pub fn strace() -> Probe {
    program("strace")
}

/// A program that counts instructions.
pub fn valgrind() -> Probe {
    program("valgrind")
}

/// Whether `name` can be run.
pub fn program(name: &str) -> Probe {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(name).is_file());
    if found { Ok(()) } else { Err(format!("{name} is not installed")) }
}

fn controller(name: &str) -> Probe {
    root()?;
    let found = cgroup_mounts().iter().any(|mount| {
        mount.options.split(',').any(|option| option == name)
            || fs::read_to_string(mount.at.join("cgroup.controllers"))
                .is_ok_and(|known| known.split_whitespace().any(|word| word == name))
    });
    if found { Ok(()) } else { Err(format!("the cgroup controller '{name}' is not available")) }
}

/// A mounted cgroup hierarchy.
pub struct CgroupMount {
    /// Where.
    pub at: PathBuf,
    /// Its super block's options: the controllers of a version 1 hierarchy.
    pub options: String,
}

/// Every mounted cgroup hierarchy, both versions.
pub fn cgroup_mounts() -> Vec<CgroupMount> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let at = words.next()?;
            let kind = words.next()?;
            let options = words.next()?.to_owned();
            matches!(kind, "cgroup" | "cgroup2")
                .then(|| CgroupMount { at: Path::new(at).to_owned(), options })
        })
        .collect()
}
