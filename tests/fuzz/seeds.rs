//! Good inputs to begin with.

use hythe::runtime::defaults;
use serde_json::{Value, json};

/// The inputs of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "layer" => vec![tar(), Vec::new()],
        "manifest" => manifests().iter().map(|value| value.to_string().into_bytes()).collect(),
        "seccomp" => profiles().iter().map(|value| value.to_string().into_bytes()).collect(),
        _ => configs().iter().map(|value| value.to_string().into_bytes()).collect(),
    }
}

fn configs() -> Vec<Value> {
    let usual = json!({
        "ociVersion": "1.2.0", "hostname": "box", "domainname": "lan",
        "root": { "path": "rootfs", "readonly": true },
        "process": {
            "terminal": false, "consoleSize": { "height": 24, "width": 80 }, "cwd": "/tmp", "args": ["sh", "-c", "true"],
            "env": ["PATH=/bin:/usr/bin", "A=b"], "user": { "uid": 7, "gid": 8, "additionalGids": [9], "umask": 18 },
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"],
                "inheritable": [], "ambient": [] },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 128 }], "noNewPrivileges": true,
            "oomScoreAdj": 100, "apparmorProfile": "", "selinuxLabel": "",
            "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 4 },
            "scheduler": { "policy": "SCHED_OTHER", "nice": 5 },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "rro", "rprivate"] },
            { "destination": "/", "type": "overlay", "options": ["lowerdir=/a:/b", "upperdir=/u", "workdir=/w"] },
        ],
        "annotations": { "a": "b" },
    });
    let linux = json!({
        "ociVersion": "1.0.2", "root": { "path": "rootfs" },
        "process": { "cwd": "/", "args": ["/bin/true"], "user": { "uid": 0, "gid": 0 } },
        "hooks": { "poststop": [{ "path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 3 }] },
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "network", "path": "/proc/1/ns/net" },
                { "type": "user" }, { "type": "time" }, { "type": "cgroup" }],
            "uidMappings": [{ "containerID": 0, "hostID": 1000, "size": 10 }],
            "gidMappings": [{ "containerID": 0, "hostID": 1000, "size": 10 }],
            "timeOffsets": { "monotonic": { "secs": 1, "nanosecs": 2 } },
            "devices": [{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0 }],
            "cgroupsPath": "/a/b", "sysctl": { "net.ipv4.ip_forward": "1" }, "rootfsPropagation": "rslave",
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "mountLabel": "",
            "resources": {
                "memory": { "limit": 1_048_576, "swap": 2_097_152, "swappiness": 60 }, "pids": { "limit": 10 },
                "cpu": { "shares": 512, "quota": 1000, "period": 100_000, "cpus": "0-1", "mems": "0" },
                "blockIO": { "weight": 100, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 600 }] },
                "devices": [{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "r" }],
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 9 }], "unified": { "memory.high": "1M" },
            },
        },
    });
    vec![usual, linux]
}

fn profiles() -> Vec<Value> {
    let usual = defaults::CAPABILITIES.into_iter().collect();
    let usual = defaults::seccomp(&usual, (6, 1)).expect("the usual profile can be built");
    let small = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
        "syscalls": [
            { "names": ["read", "socketcall", "socket"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": 2_114_060_288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
            { "names": ["write"], "action": "SCMP_ACT_TRACE", "errnoRet": 7,
              "args": [{ "index": 1, "value": 5, "op": "SCMP_CMP_GT" }, { "index": 1, "value": 9, "op": "SCMP_CMP_LE" }] },
        ],
    });
    let notified = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/l", "listenerMetadata": "m",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
    });
    vec![serde_json::to_value(usual).unwrap_or_default(), small, notified]
}

fn manifests() -> Vec<Value> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let blob = |kind: &str| json!({ "mediaType": kind, "digest": digest, "size": 100 });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json"),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip"), blob("application/vnd.docker.image.rootfs.diff.tar.gzip")],
        "annotations": { "a": "b" },
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 7,
            "platform": { "os": "linux", "architecture": "amd64", "variant": "v2" } }],
    });
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-02T03:04:05Z",
        "config": { "User": "app:users", "Env": ["A=b"], "Cmd": ["sh"], "Entrypoint": ["/e"], "WorkingDir": "/w",
            "Volumes": { "/v": {} }, "ExposedPorts": { "80/tcp": {} }, "StopSignal": "SIGINT", "Labels": { "l": "m" } },
        "rootfs": { "type": "layers", "diff_ids": [digest, digest] },
        "history": [{ "created_by": "x", "empty_layer": true }],
    });
    vec![manifest, index, config]
}

/// A layer with one member of each kind.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |kind, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o755);
        header.set_uid(1);
        header
    };
    let long = format!("d/{}", "n".repeat(150));
    let _ = builder.append_pax_extensions([("SCHILY.xattr.user.a", &b"b"[..]), ("mtime", &b"1.5"[..])]);
    for (kind, path, data) in [
        (tar::EntryType::Directory, "d/", &b""[..]),
        (tar::EntryType::Regular, "d/f", &b"contents"[..]),
        (tar::EntryType::Regular, &long, &b"long"[..]),
        (tar::EntryType::Regular, "d/.wh.f", &b""[..]),
        (tar::EntryType::Regular, "d/.wh..wh..opq", &b""[..]),
        (tar::EntryType::Fifo, "d/p", &b""[..]),
    ] {
        let _ = builder.append_data(&mut header(kind, data.len()), path, data);
    }
    let _ = builder.append_link(&mut header(tar::EntryType::Symlink, 0), "d/l", "../../../etc");
    let _ = builder.append_link(&mut header(tar::EntryType::Link, 0), "d/h", "d/f");
    builder.into_inner().unwrap_or_default()
}
