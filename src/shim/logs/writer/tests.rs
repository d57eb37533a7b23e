use super::{super::record::parse, *};

fn writer(path: &Path, max_size: u64, max_files: u32) -> Writer {
    Writer::new(LogSpec { max_size, max_files, ..LogSpec::at(path.to_owned()) })
}

/// The output that the records of a file give back, and their streams.
fn read(path: &Path) -> (Vec<u8>, Vec<Stream>) {
    let text = fs::read(path).unwrap();
    let records = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    records.map(|line| parse(line).unwrap()).fold(Default::default(), |(mut bytes, mut streams), record| {
        bytes.extend(record.bytes);
        bytes.extend(record.whole.then_some(b'\n'));
        streams.push(record.stream);
        (bytes, streams)
    })
}

#[test]
fn output_comes_back_byte_by_byte_whatever_pieces_it_came_in() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut writer = writer(&path, 10 << 20, 5);
    let long = vec![b'x'; 100_000];
    let mut said = Vec::new();
    for piece in [b"one\ntwo\n\nhalf ".as_slice(), b"a line\n", &[0, 255, b'\r', b'\n'], &long, b"\n", b"end"]
    {
        writer.take(Stream::Stdout, piece, 7, &mut Vec::new());
        said.extend_from_slice(piece);
    }
    assert_eq!(read(&path).0, said);
}

#[test]
fn a_line_as_long_as_a_record_is_one_record() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut line = vec![b'x'; RECORD];
    line.push(b'\n');
    writer(&path, 10 << 20, 5).take(Stream::Stderr, &line, 7, &mut Vec::new());
    assert_eq!(read(&path).1, [Stream::Stderr]);
}

#[test]
fn files_have_a_ceiling_in_size_and_number_and_keep_the_newest_output() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut writer = writer(&path, 1000, 3);
    for number in 0..500 {
        writer.take(Stream::Stdout, format!("line {number}\n").as_bytes(), 7, &mut Vec::new());
    }
    let names = [older(&path, 2), older(&path, 1), path];
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
    assert!(names.iter().all(|name| fs::metadata(name).unwrap().len() <= 1000));
    let kept: Vec<u8> = names.iter().flat_map(|name| read(name).0).collect();
    let all: Vec<u8> = (0..500).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    assert!(all.ends_with(&kept) && kept.len() > 400);
}

#[test]
fn one_file_begins_anew_when_it_is_full() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut writer = writer(&path, 200, 1);
    (0..9).for_each(|_| writer.take(Stream::Stdout, b"0123456789\n", 7, &mut Vec::new()));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    assert!(fs::metadata(&path).unwrap().len() <= 200);
}

#[test]
fn what_a_full_disk_refuses_is_counted_and_noted() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut writer = writer(&path, 10 << 20, 5);
    writer.take(Stream::Stdout, b"before\n", 7, &mut Vec::new());
    let real = writer.file.replace(OpenOptions::new().write(true).open("/dev/full").unwrap());
    writer.take(Stream::Stdout, b"lost\n", 7, &mut Vec::new());
    writer.take(Stream::Stderr, b"lost too\n", 7, &mut Vec::new());
    writer.file = real;
    writer.take(Stream::Stdout, b"after\n", 7, &mut Vec::new());
    let (bytes, streams) = read(&path);
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text, "before\n14 bytes were dropped: no space left on device\nafter\n");
    assert_eq!(streams[1], Stream::Note);
}

#[test]
fn docker_s_form_has_whole_lines_and_the_same_ceiling() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let driver = Driver::JsonFile { attributes: std::collections::BTreeMap::default(), compress: false };
    let spec = LogSpec { max_size: 1000, max_files: 3, driver, ..LogSpec::at(path.clone()) };
    let mut writer = Writer::new(spec);
    for piece in ["fir", "st\nsec", "ond\nno end"] {
        writer.take(Stream::Stdout, piece.as_bytes(), 7, &mut Vec::new());
    }
    writer.end(9, &mut Vec::new());
    writer.end(9, &mut Vec::new());
    let text = fs::read_to_string(&path).unwrap();
    let logs: Vec<&str> = text.lines().map(|line| line.split("\",\"stream").next().unwrap()).collect();
    assert_eq!(logs, ["{\"log\":\"first\\n", "{\"log\":\"second\\n", "{\"log\":\"no end"]);
    assert_eq!(read(&path).0, b"first\nsecond\nno end");
    for number in 0..500 {
        writer.take(Stream::Stderr, format!("line {number}\n").as_bytes(), 7, &mut Vec::new());
    }
    let files: Vec<_> = fs::read_dir(place.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 1000));
}

#[test]
fn a_torn_end_is_closed_before_anything_is_added() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    fs::write(&path, "2026-11-").unwrap();
    writer(&path, 10 << 20, 5).take(Stream::Stdout, b"x\n", 0, &mut Vec::new());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, "2026-11-\n1970-01-01T00:00:00.000000000Z stdout F x\n");
}

#[test]
fn the_lines_of_an_event_stay_together_and_come_back_as_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let mut writer = writer(&path, 10 << 20, 5);
    let long = "x".repeat(RECORD + 1);
    let event = |bytes: &str, whole| Event { nanos: 7, bytes: bytes.as_bytes().to_vec(), whole };
    for (text, whole) in [("one\n\n two", true), (long.as_str(), true), ("no end", false)] {
        writer.take_event(Stream::Stdout, &event(text, whole), &mut Vec::new());
    }
    let text = fs::read_to_string(&path).unwrap();
    let marks: Vec<&str> = text.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(marks, ["L", "L", "F", "P", "F", "P"]);
    assert_eq!(read(&path).0, format!("one\n\n two\n{long}\nno end").as_bytes());
}
