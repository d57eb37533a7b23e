//! What botocore, which knows ECS's own description of every operation, finds out about the API.
//!
//! The programs are in `tests/clients`; they run in an environment that `scripts/test` makes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use hythe::api::{Guard, Listener, serve};

use super::fixture;
use crate::harness::{clients, require};

const PAGE: &str = "docs/API.md";

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The API over TCP, and what a program of `tests/clients` says of it: whether it was content, and its output.
async fn asked(program: &str, more: &[&str]) -> (bool, String, String) {
    let api = fixture().await;
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), Guard::Loopback, None).await.unwrap();
    let url = format!("http://{}", listener.address().unwrap());
    tokio::spawn(serve(listener, Arc::clone(&api.api), std::future::pending()));
    let mut command = Command::new(clients::program("python"));
    command.arg(here("tests/clients").join(program)).arg(url).args(more);
    command.arg(here("src/model/task_definition/form.txt")).arg(here("src/api/form.txt"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_made_from_the_service_model_is_answered_wrongly() {
    require!(clients);
    let (is_content, said, errors) = asked("generate.py", &[]).await;
    assert!(is_content, "{said}{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_names_the_member_and_what_it_held() {
    require!(clients);
    let (is_content, said, errors) = asked("refusals.py", &[]).await;
    assert!(is_content, "{said}{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_api_is_what_was_seen() {
    require!(clients);
    let acts = here("tests/clients/acts.txt").display().to_string();
    let (is_content, page, errors) = asked("coverage.py", &[&acts]).await;
    assert!(is_content, "{errors}");
    if std::env::var_os("HYTHE_WRITE").is_some() {
        fs::write(here(PAGE), &page).unwrap();
    }
    let written = fs::read_to_string(here(PAGE)).unwrap_or_default();
    assert!(written == page, "{PAGE} is not what was seen; HYTHE_WRITE=1 writes it anew:\n{page}");
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let acts = fs::read_to_string(here("tests/clients/acts.txt")).unwrap();
    let mut sources = String::new();
    let mut directories = vec![here("tests/integration"), here("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    for line in acts.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, what, test] = columns.as_slice() else { panic!("three columns: {line}") };
        assert!(test.is_empty() == what.is_empty(), "what is done has a test that shows it: {line}");
        assert!(test.is_empty() || sources.contains(&format!("fn {test}(")), "there is no test {test}");
    }
}
