use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::kernel::fs::{get_xattr, is_whiteout, stat_at};

/// One member of a test archive: kind, path, and link target or contents.
type Member<'a> = (EntryType, &'a str, &'a str);

const DIR: EntryType = EntryType::Directory;
const FILE: EntryType = EntryType::Regular;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, path, text) in members {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if *kind == DIR { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        header.set_size(if *kind == FILE { text.len() as u64 } else { 0 });
        if *kind != FILE {
            header.set_link_name_literal(text).unwrap();
        }
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        if *kind == FILE {
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn unpack_into(root: &Path, deletions: Deletions, members: &[Member<'_>]) -> Result<(), UnpackError> {
    let unpacker = Unpacker::new(root, deletions, None).unwrap();
    unpacker.unpack(&archive(members)[..]).map(drop)
}

/// An outer directory with the root in it, so that leaving the root shows.
fn rooms() -> Option<(tempfile::TempDir, PathBuf)> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: unpacking sets owners and needs root");
        return None;
    }
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(outer.path().join("secret"), "untouched").unwrap();
    Some((outer, root))
}

fn is_outside_untouched(outer: &Path) -> bool {
    let names: Vec<_> = fs::read_dir(outer).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.len() == 2 && fs::read_to_string(outer.join("secret")).unwrap() == "untouched"
}

#[test]
fn nothing_in_an_archive_gets_out() {
    let hostile: &[&[Member<'_>]] = &[
        &[(FILE, "../evil", "x")],
        &[(FILE, "a/../../evil", "x")],
        &[(FILE, "/../evil", "x")],
        &[(LINK, "up", "../"), (FILE, "up/evil", "x")],
        &[(LINK, "up", ".."), (FILE, "up/secret", "x")],
        &[(DIR, "d", ""), (LINK, "d/up", "../.."), (FILE, "d/up/secret", "x")],
        &[(DIR, "d", ""), (FILE, "d/f", "1"), (LINK, "d", ".."), (FILE, "d/secret", "x")],
        &[(LINK, "f", "../secret"), (FILE, "f", "x")],
        &[(HARD, "h", "../secret"), (FILE, "h", "x")],
        &[(LINK, "up", ".."), (HARD, "h", "up/secret"), (FILE, "h", "x")],
        &[(LINK, "s", "../secret"), (HARD, "h", "s"), (FILE, "h", "x")],
        &[(FILE, ".wh...", "")],
        &[(FILE, ".wh..", "")],
        &[(FILE, ".wh.", "")],
        &[(FILE, "../.wh.secret", "")],
        &[(LINK, "up", ".."), (FILE, "up/.wh.secret", "")],
        &[(LINK, "up", ".."), (FILE, "up/.wh..wh..opq", "")],
        &[(LINK, "up", ".."), (DIR, "up", "")],
        &[(DIR, "..", "")],
    ];
    for deletions in [Deletions::Marked, Deletions::CarriedOut] {
        for members in hostile {
            let Some((outer, root)) = rooms() else { return };
            let result = unpack_into(&root, deletions, members);
            assert!(is_outside_untouched(outer.path()), "{members:?} got out: {result:?}");
            let metadata = fs::metadata(outer.path()).unwrap();
            assert_ne!(metadata.mtime(), 1000, "{members:?} changed the directory outside");
        }
    }
}

#[test]
fn an_absolute_link_leads_from_the_layer_and_not_from_the_host() {
    let Some((outer, root)) = rooms() else { return };
    let inside = outer.path().join("secret");
    let target = inside.to_str().unwrap().to_owned();
    let directory = outer.path().to_str().unwrap();
    unpack_into(&root, Deletions::Marked, &[(LINK, "here", "/"), (FILE, "here/evil", "x")]).unwrap();
    assert_eq!(fs::read_to_string(root.join("evil")).unwrap(), "x");
    let failed =
        unpack_into(&root, Deletions::Marked, &[(LINK, "away", directory), (FILE, "away/secret", "x")]);
    assert!(failed.is_err(), "the link leads nowhere in the layer");
    assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let Some((_outer, root)) = rooms() else { return };
    let members: &[Member<'_>] = &[
        (FILE, "a", "one"),
        (FILE, "a", "two"),
        (DIR, "d", ""),
        (FILE, "d/in", "x"),
        (FILE, "d", "now a file"),
        (LINK, "l", "a"),
        (DIR, "l", ""),
        (FILE, "l/in", "x"),
        (DIR, "keep", ""),
        (FILE, "keep/in", "x"),
        (DIR, "keep", ""),
    ];
    unpack_into(&root, Deletions::Marked, members).unwrap();
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "two");
    assert_eq!(fs::read_to_string(root.join("d")).unwrap(), "now a file");
    assert!(root.join("l").symlink_metadata().unwrap().is_dir());
    assert!(root.join("keep/in").exists(), "a directory over a directory is the same directory");
}

#[test]
fn a_tree_deeper_than_descriptors_reach_is_made_and_removed() {
    let Some((outer, root)) = rooms() else { return };
    // Each link leads to the end of the step before: more than a thousand levels in all.
    let step = vec!["d"; 45].join("/");
    let mut members: Vec<(EntryType, String, String)> = vec![(FILE, format!("{step}/f"), "x".into())];
    for n in 0..24 {
        let (link, before) = (format!("l{n}"), if n == 0 { String::new() } else { format!("l{}/", n - 1) });
        members.push((LINK, link.clone(), format!("{before}{step}")));
        members.push((FILE, format!("{link}/{step}/f"), "x".into()));
    }
    let borrowed: Vec<Member<'_>> = members.iter().map(|(k, p, t)| (*k, p.as_str(), t.as_str())).collect();
    unpack_into(&root, Deletions::Marked, &borrowed).unwrap();
    let parent = fs::File::open(outer.path()).unwrap();
    remove_tree(parent.as_fd(), OsStr::new("root")).unwrap();
    assert!(!root.exists());
}

#[test]
fn a_hard_link_replaced_by_a_file_leaves_the_other_name_alone() {
    let Some((_outer, root)) = rooms() else { return };
    let members: &[Member<'_>] =
        &[(FILE, "a", "one"), (HARD, "b", "a"), (FILE, "b", "two"), (HARD, "a", "a")];
    unpack_into(&root, Deletions::Marked, members).unwrap();
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "one");
    assert_eq!(fs::read_to_string(root.join("b")).unwrap(), "two");
}

#[test]
fn deletions_are_marked_as_overlayfs_does() {
    let Some((_outer, root)) = rooms() else { return };
    let members: &[Member<'_>] = &[
        (DIR, "d", ""),
        (FILE, "d/.wh.gone", ""),
        (FILE, "d/.wh..wh.plnk", ""),
        (DIR, "o", ""),
        (FILE, "o/.wh..wh..opq", ""),
        (FILE, ".wh.back", ""),
        (DIR, "back", ""),
        (DIR, "again", ""),
        (FILE, ".wh.again", ""),
        (FILE, "f", "kept"),
        (FILE, ".wh.f", ""),
    ];
    unpack_into(&root, Deletions::Marked, members).unwrap();
    let open = |name: &str| fs::File::open(root.join(name)).unwrap();
    assert!(is_whiteout(&stat_at(open("d"), OsStr::new("gone")).unwrap()));
    assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 1);
    for name in ["o", "back", "again"] {
        let value = get_xattr(open(name), c"trusted.overlay.opaque").unwrap();
        assert_eq!(value.as_deref(), Some(&b"y"[..]), "{name}");
    }
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "kept");
}

#[test]
fn deletions_are_carried_out_below_but_not_in_the_same_layer() {
    let Some((_outer, root)) = rooms() else { return };
    let lower: &[Member<'_>] = &[
        (FILE, "gone", "1"),
        (DIR, "d", ""),
        (FILE, "d/old", "1"),
        (DIR, "r", ""),
        (FILE, "r/old", "1"),
        (FILE, "f", "1"),
    ];
    let upper: &[Member<'_>] = &[
        (FILE, ".wh.gone", ""),
        (DIR, "d", ""),
        (FILE, "d/new", "2"),
        (FILE, "d/.wh..wh..opq", ""),
        (DIR, "r", ""),
        (FILE, "r/new", "2"),
        (FILE, ".wh.r", ""),
        (FILE, "f", "2"),
        (FILE, ".wh.f", ""),
        (FILE, ".wh.never-was", ""),
    ];
    unpack_into(&root, Deletions::CarriedOut, lower).unwrap();
    unpack_into(&root, Deletions::CarriedOut, upper).unwrap();
    assert!(!root.join("gone").exists() && !root.join("d/old").exists() && !root.join("r/old").exists());
    assert!(root.join("d/new").exists() && root.join("r/new").exists());
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "2");
}

#[test]
fn attributes_that_steer_overlayfs_are_not_taken_from_an_archive() {
    let Some((_outer, root)) = rooms() else { return };
    let record = |text: &str| format!("{} {text}\n", text.len() + 4);
    let records =
        record("SCHILY.xattr.trusted.overlay.redirect=/etc") + &record("SCHILY.xattr.user.colour=blueish");
    let mut bytes = archive(&[(FILE, "x", &records), (DIR, "d", "")]);
    let mut header = Header::from_byte_slice(&bytes[..512]).clone();
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    Unpacker::new(&root, Deletions::Marked, None).unwrap().unpack(&bytes[..]).unwrap();
    let directory = fs::File::open(root.join("d")).unwrap();
    assert_eq!(get_xattr(&directory, c"trusted.overlay.redirect").unwrap(), None);
}

#[test]
fn directories_keep_their_times_and_setuid_survives_the_owner() {
    let Some((_outer, root)) = rooms() else { return };
    let mut bytes = archive(&[(DIR, "d", ""), (FILE, "d/su", "x"), (FILE, "d/other", "x")]);
    let mut header = Header::from_byte_slice(&bytes[512..1024]).clone();
    header.set_mode(0o6755);
    header.set_uid(5_000_000);
    header.set_cksum();
    bytes[512..1024].copy_from_slice(header.as_bytes());
    Unpacker::new(&root, Deletions::Marked, None).unwrap().unpack(&bytes[..]).unwrap();
    let metadata = fs::metadata(root.join("d/su")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.uid()), (0o6755, 5_000_000));
    assert_eq!(fs::metadata(root.join("d")).unwrap().mtime(), 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_entries_gets_out(
        members in prop::collection::vec(
            (
                prop::sample::select(vec![DIR, FILE, LINK, HARD]),
                prop::collection::vec(prop::sample::select(vec!["a", "b", "..", ".wh.a", ".wh..wh..opq"]), 1..4),
                prop::sample::select(vec!["..", "../secret", "/", "a", "b/..", "../../secret", "a/b"]),
            ),
            1..12,
        ),
        flat in any::<bool>(),
    ) {
        let Some((outer, root)) = rooms() else { return Ok(()) };
        let paths: Vec<String> = members.iter().map(|(_, parts, _)| parts.join("/")).collect();
        let entries: Vec<Member<'_>> =
            members.iter().zip(&paths).map(|((kind, _, text), path)| (*kind, path.as_str(), *text)).collect();
        let deletions = if flat { Deletions::CarriedOut } else { Deletions::Marked };
        let _ = unpack_into(&root, deletions, &entries);
        prop_assert!(is_outside_untouched(outer.path()));
    }
}

#[test]
fn cleaning_a_path_keeps_it_below_the_root() {
    for (given, expected) in
        [("/a/b", "a/b"), ("./a", "a"), ("a/../b", "b"), ("", ""), ("a//b/", "a/b"), (".", "")]
    {
        assert_eq!(clean(Path::new(given)).unwrap(), Path::new(expected), "{given}");
    }
    assert_eq!(clean(Path::new("a/../../b")), None);
}
