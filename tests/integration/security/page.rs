//! The page about isolation names a test for each known attack; each of them is there.

use std::{fs, path::Path};

#[test]
fn the_tests_that_the_page_names_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(top.join("docs/ISOLATION.md")).unwrap();
    let table = page.split("## Known attacks").nth(1).expect("the page has the table");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 18, "{}", rows.len());
    for row in rows {
        let named: Vec<&str> =
            row.rsplit(" | ").next().unwrap().split('`').filter(|word| word.contains("::")).collect();
        assert!(!named.is_empty(), "{row}");
        for name in named {
            let (file, test) = name.split_once("::").unwrap();
            let place = if file.contains('/') { file.to_owned() } else { format!("security/{file}") };
            let source =
                fs::read_to_string(top.join(format!("tests/integration/{place}.rs"))).unwrap_or_default();
            assert!(source.contains(&format!("#[test]\nfn {test}() {{")), "{name} is not there");
        }
    }
}
