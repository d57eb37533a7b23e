use proptest::prelude::*;

use super::*;

fn long(text: &str) -> String {
    Reference::parse(text).unwrap().to_string()
}

#[test]
fn short_names_are_on_docker_hub() {
    assert_eq!(long("nginx"), "docker.io/library/nginx:latest");
    assert_eq!(long("nginx:1.27"), "docker.io/library/nginx:1.27");
    assert_eq!(long("grafana/loki"), "docker.io/grafana/loki:latest");
    assert_eq!(long("docker.io/nginx"), "docker.io/library/nginx:latest");
    assert_eq!(long("index.docker.io/library/nginx"), "docker.io/library/nginx:latest");
}

#[test]
fn a_first_part_with_a_dot_a_port_or_capitals_is_a_host() {
    assert_eq!(long("localhost/a"), "localhost/a:latest");
    assert_eq!(long("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
    assert_eq!(long("ghcr.io/a"), "ghcr.io/a:latest");
    assert_eq!(long("Registry/a"), "Registry/a:latest");
    assert_eq!(long("[::1]:5000/a:b"), "[::1]:5000/a:b");
}

#[test]
fn a_digest_makes_the_default_tag_go_away() {
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(long(&format!("nginx@{digest}")), format!("docker.io/library/nginx@{digest}"));
    assert_eq!(long(&format!("nginx:1@{digest}")), format!("docker.io/library/nginx:1@{digest}"));
}

#[test]
fn local_references_keep_their_path() {
    let Reference::Layout(local) = Reference::parse("oci:/srv/a:b/image:web").unwrap() else { panic!() };
    assert_eq!((local.path(), local.tag()), (Path::new("/srv/a:b/image"), Some("web")));
    let Reference::OciArchive(local) = Reference::parse("oci-archive:image.tar").unwrap() else { panic!() };
    assert_eq!((local.path(), local.tag()), (Path::new("image.tar"), None));
    let Reference::DockerArchive(local) = Reference::parse("docker-archive:x.tar:web:1").unwrap() else {
        panic!()
    };
    assert_eq!((local.path(), local.tag()), (Path::new("x.tar"), Some("web:1")));
}

#[test]
fn what_is_no_reference_is_refused() {
    for text in [
        "",
        ":",
        "/",
        "a//b",
        "UPPER",
        "a:",
        "a:-x",
        "a@sha256:1",
        "a b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "oci:",
        "a/",
        "host.x:port/a",
        "host.x:99999999/a",
        "../a",
        "a/../b",
        "[::1/a",
        "a:b:c",
        "docker-archive:",
        "a\n",
    ] {
        assert!(Reference::parse(text).is_err(), "{text:?} was accepted");
    }
    assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
    assert!(Reference::parse(&"a".repeat(300)).is_err());
}

#[test]
fn loopback_is_this_machine_only() {
    let name = |text: &str| Reference::parse(text).unwrap().name().unwrap().clone();
    for yes in ["localhost/a", "localhost:5/a", "127.0.0.1:5000/a", "127.9.9.9/a", "[::1]:80/a", "[::1]/a"] {
        assert!(name(yes).is_loopback(), "{yes}");
    }
    for no in ["nginx", "localhost.example.com/a", "127.0.0.1.nip.io/a", "10.0.0.1:5000/a"] {
        assert!(!name(no).is_loopback(), "{no}");
    }
}

proptest! {
    #[test]
    fn the_long_form_parses_to_the_same_reference(
        host in prop::option::of("[a-z][a-z0-9]{0,8}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?"),
        parts in prop::collection::vec("[a-z0-9]{1,6}([._]|__|-{1,3})[a-z0-9]{1,6}", 1..4),
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        digest in prop::option::of("[0-9a-f]{64}"),
    ) {
        let mut text = host.map(|h| format!("{h}/")).unwrap_or_default() + &parts.join("/");
        text += &tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        text += &digest.map(|digest| format!("@sha256:{digest}")).unwrap_or_default();
        let once = Reference::parse(&text).unwrap();
        let again = Reference::parse(&once.to_string()).unwrap();
        prop_assert_eq!(&once, &again);
        prop_assert_eq!(Reference::parse(&once.familiar()).unwrap(), once);
    }

    #[test]
    fn no_text_makes_the_parser_panic_and_accepted_text_is_stable(text in "\\PC{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }
}
