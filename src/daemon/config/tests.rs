use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("hythe.toml")).map_err(|error| error.to_string())
}

#[test]
fn every_key_may_be_left_out() {
    let config = parse("").unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/hythe"));
    assert_eq!(config.api.socket, Path::new("/run/hythe/hythe.sock"));
    assert_eq!(config.cgroup_parent, "hythe");
    let network = config.network.unwrap();
    assert_eq!((network.bridge.as_str(), network.table.as_str()), ("hythe0", "hythe"));
}

#[test]
fn the_packaged_file_says_what_holds_without_it() {
    let packaged = include_str!("../../../scripts/package/hythe.toml");
    let usual = parse("").unwrap();
    assert_eq!(parse(packaged).unwrap(), usual);
    let written: String = packaged
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => format!("{key}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let all = parse(&written).unwrap();
    assert_eq!((&all.state_dir, &all.runtime_dir), (&usual.state_dir, &usual.runtime_dir));
    assert_eq!((&all.cgroup_parent, &all.owner), (&usual.cgroup_parent, &usual.owner));
    assert_eq!(all.api.socket, usual.api.socket);
    assert_eq!(
        all.network.map(|net| (net.bridge, net.subnet)),
        usual.network.map(|net| (net.bridge, net.subnet))
    );
    assert_eq!(all.images.parallel_layers, usual.images.parallel_layers);
    assert_eq!(all.containers.cgroup_driver, usual.containers.cgroup_driver);
    assert_eq!(all.containers.log_max_size, usual.containers.log_max_size);
    assert_eq!(all.containers.log_max_files, usual.containers.log_max_files);
    assert_eq!(all.containers.journal, usual.containers.journal);
    assert_eq!(usual.containers.first_project, None, "each instance has its own");
    assert_eq!((all.healthy_after, all.history), (usual.healthy_after, usual.history));
    assert_eq!(usual.healthy_after, Duration::from_secs(40), "as in ECS");
}

#[test]
fn the_socket_follows_the_runtime_directory() {
    let config = parse("runtime_dir = \"/run/blue\"").unwrap();
    assert_eq!(config.api.socket, Path::new("/run/blue/hythe.sock"));
}

#[test]
fn a_misspelt_key_is_refused_with_its_place_and_the_nearest_word() {
    let refused = parse("\n[network]\nbridg = \"x\"\n").unwrap_err();
    assert_eq!(refused, "hythe.toml:3:1: unknown key \"bridg\"; did you mean \"bridge\"?");
    let refused = parse("colour = 1").unwrap_err();
    assert_eq!(refused, "hythe.toml:1:1: unknown key \"colour\"");
    let refused = parse("[images]\npull_policy = \"allways\"").unwrap_err();
    assert_eq!(refused, "hythe.toml:2:15: unknown value \"allways\"; did you mean \"always\"?");
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let refused = parse("[network]\nsubnet = \"10.0.0.0\"").unwrap_err();
    assert_eq!(refused, "hythe.toml:2:10: '10.0.0.0' is not an IPv4 network like 10.88.0.0/16");
    let refused = parse("state_dir = \"var/lib\"").unwrap_err();
    assert_eq!(refused, "hythe.toml:1:13: \"var/lib\" is not an absolute path");
    let refused = parse("cgroup_parent = \"../x\"").unwrap_err();
    assert!(refused.contains("is not the name of a cgroup"), "{refused}");
    let refused = parse("[containers]\ncgroup_driver = \"cgroupfs\"").unwrap_err();
    assert_eq!(refused, "hythe.toml:2:17: unknown value \"cgroupfs\"");
    let refused = parse("[containers]\nlog_max_size = \"many\"").unwrap_err();
    assert!(refused.starts_with("hythe.toml:2:16: "), "{refused}");
}

#[test]
fn over_tcp_requests_are_signed_unless_the_file_says_otherwise() {
    let refused = parse("[api]\nlisten = \"127.0.0.1:8080\"").unwrap_err();
    assert!(refused.contains("keys_file") && refused.contains("allow_unsigned"), "{refused}");
    let unsigned = parse("[api]\nlisten = \"127.0.0.1:8080\"\nallow_unsigned = true").unwrap();
    assert_eq!(unsigned.api.signed, Signed::No);
    let signed = parse("[api]\nlisten = \"0.0.0.0:8080\"\nkeys_file = \"/k\"").unwrap();
    assert_eq!(signed.api.signed, Signed::With("/k".into()));
    for both in [
        "[api]\nlisten = \"127.0.0.1:1\"\nkeys_file = \"/k\"\nallow_unsigned = true",
        "[api]\nlisten = \"0.0.0.0:1\"\nallow_unsigned = true",
        "[api]\ntls_certificate = \"/c\"",
    ] {
        assert!(parse(both).is_err(), "{both}");
    }
}

#[test]
fn sizes_and_ports_are_read_as_people_write_them() {
    let config =
        parse("[containers]\nlog_max_size = \"64k\"\n[host]\nreserved_ports = [22, \"53/udp\"]").unwrap();
    assert_eq!(config.containers.log_max_size, 64 * 1024);
    assert_eq!(config.host.reserved_ports.len(), 2);
}

#[test]
fn a_role_has_one_source() {
    let role = |members: &str| parse(&format!("[roles.\"arn:aws:iam::1:role/app\"]\n{members}"));
    let of = |members: &str| role(members).unwrap().roles["arn:aws:iam::1:role/app"].clone();
    let file = |profile: &str| RoleSource::Static { file: "/f".into(), profile: profile.into() };
    assert_eq!(of("static = \"/f\""), file("default"));
    assert_eq!(of("static = \"/f\"\nprofile = \"p\""), file("p"));
    let command = vec!["/vend".to_owned(), "x".to_owned()];
    let limit = Duration::from_secs(60);
    assert_eq!(of("credential_process = [\"/vend\", \"x\"]"), RoleSource::Process { command, limit });
    for wrong in [
        "",
        "static = \"f\"",
        "profile = \"p\"",
        "credential_process = []",
        "credential_process = [\"vend\"]",
        "static = \"/f\"\ncredential_process = [\"/vend\"]",
        "static = \"/f\"\ntimeout = 3",
        "credential_process = [\"/vend\"]\ntimeout = 0",
    ] {
        assert!(role(wrong).is_err(), "{wrong}");
    }
    let refused = parse("[roles.app]\nstatic = \"/f\"").unwrap_err();
    assert!(refused.contains("\"app\" is not the ARN of a role"), "{refused}");
}

#[test]
fn the_network_can_be_switched_off() {
    assert_eq!(parse("[network]\nenabled = false").unwrap().network, None);
}
