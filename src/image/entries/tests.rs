use proptest::prelude::*;

use super::*;

/// A header of `kind` and its data, padded.
fn member(kind: EntryType, name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(name).unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let length =
        (1..9).map(|digits| body.len() + digits).find(|n| n.to_string().len() + body.len() == *n).unwrap();
    [length.to_string().into_bytes(), body].concat()
}

fn first(bytes: &[u8]) -> io::Result<(Entry, Vec<u8>)> {
    let mut entries = Entries::new(bytes);
    let entry = entries.next_entry()?.expect("an entry");
    let mut data = Vec::new();
    entries.read_to_end(&mut data)?;
    Ok((entry, data))
}

#[test]
fn a_pax_value_may_hold_a_line_feed() {
    let value = b"\x01\0\0\x02\n\x04\0\0=\n";
    let records = record("SCHILY.xattr.security.capability", value);
    let bytes =
        [member(EntryType::XHeader, "x", &records), member(EntryType::Regular, "ping", b"data")].concat();
    let (entry, data) = first(&bytes).unwrap();
    assert_eq!(entry.xattrs, [(b"security.capability".to_vec(), value.to_vec())]);
    assert_eq!(data, b"data");
}

#[test]
fn a_pax_one_zero_map_precedes_the_data() {
    let mut data = b"2\n0\n3\n1000\n4\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcdefg");
    let records = [
        record("GNU.sparse.major", b"1"),
        record("GNU.sparse.minor", b"0"),
        record("GNU.sparse.name", b"real"),
        record("GNU.sparse.realsize", b"5000"),
    ]
    .concat();
    let bytes = [
        member(EntryType::XHeader, "x", &records),
        member(EntryType::Regular, "GNUSparseFile.0/real", &data),
    ]
    .concat();
    let (entry, data) = first(&bytes).unwrap();
    assert_eq!((entry.path.to_str().unwrap(), entry.length), ("real", 5000));
    assert_eq!(entry.segments, [Segment { offset: 0, length: 3 }, Segment { offset: 1000, length: 4 }]);
    assert_eq!(data, b"abcdefg");
}

#[test]
fn the_maps_of_pax_zero_are_read_in_both_forms() {
    let one = record("GNU.sparse.map", b"0,2,10,2");
    let pairs = [
        record("GNU.sparse.offset", b"0"),
        record("GNU.sparse.numbytes", b"2"),
        record("GNU.sparse.offset", b"10"),
        record("GNU.sparse.numbytes", b"2"),
    ]
    .concat();
    for map in [one, pairs] {
        let records = [record("GNU.sparse.size", b"20"), map].concat();
        let bytes =
            [member(EntryType::XHeader, "x", &records), member(EntryType::Regular, "f", b"abcd")].concat();
        let (entry, _) = first(&bytes).unwrap();
        assert_eq!(entry.length, 20);
        assert_eq!(entry.segments, [Segment { offset: 0, length: 2 }, Segment { offset: 10, length: 2 }]);
    }
}

#[test]
fn a_map_that_leaves_the_file_or_the_data_is_refused() {
    for map in [&b"0,30"[..], b"5,2,0,2", b"0,18446744073709551615", b"0", b"0,4,10,4", b"x,y"] {
        let records = [record("GNU.sparse.size", b"20"), record("GNU.sparse.map", map)].concat();
        let bytes =
            [member(EntryType::XHeader, "x", &records), member(EntryType::Regular, "f", b"abcd")].concat();
        assert!(first(&bytes).is_err(), "{}", String::from_utf8_lossy(map));
    }
}

#[test]
fn a_cut_archive_is_an_error_and_not_an_end() {
    let whole = member(EntryType::Regular, "f", b"abcd");
    assert!(first(&whole[..600]).is_ok(), "the padding may be read later");
    for cut in [1, 511, 513] {
        assert!(first(&whole[..cut]).is_err(), "{cut}");
    }
    let extension = member(EntryType::XHeader, "x", &record("path", b"p"));
    assert!(Entries::new(&extension[..]).next_entry().is_err());
}

#[test]
fn times_before_1970_count_forwards_from_the_second_before() {
    let records = Records::parse(&record("mtime", b"-1.25")).unwrap();
    assert_eq!(records.mtime(), Some((-2, 750_000_000)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048), fix in any::<bool>()) {
        let mut bytes = bytes;
        if fix && bytes.len() >= 512 {
            let mut header = Header::from_byte_slice(&bytes[..512]).clone();
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        let mut entries = Entries::new(&bytes[..]);
        while let Ok(Some(_)) = entries.next_entry() {}
        let _ = Records::parse(&bytes);
    }
}
