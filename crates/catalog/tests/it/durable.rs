//! What was answered with success is there after kill -9.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use catalog::SqlCatalog;
use domain::{
    Timestamp,
    audit::{Action, Actor},
    port::catalog::Trail as _,
};

/// Tells the killed process where its file is.
const FILE: &str = "TELERAD_TEST_KILLED_CATALOG";
/// Answers to wait for before killing.
const ANSWERS_BEFORE: usize = 30;
const ANSWER: &str = "written ";

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    SqlCatalog::open_sqlite(&path).await.unwrap().close().await;
    for round in 0..3 {
        let answered = answers_until_killed(&path, round);
        assert!(answered.len() >= ANSWERS_BEFORE);
        let catalog = SqlCatalog::open_sqlite(&path).await.unwrap();
        let kept = catalog.trail(None, 1_000_000).await.unwrap();
        for answer in &answered {
            assert!(kept.iter().any(|line| line.detail == *answer), "{answer} was answered and is gone");
        }
        catalog.check().await.unwrap();
        catalog.close().await;
    }
}

fn answers_until_killed(path: &Path, round: u32) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durable::writes_until_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env("ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The last line may be cut in two by the kill: it counts as answered only when it is whole.
        if let Some(answer) = line.unwrap().strip_prefix(ANSWER).and_then(|rest| rest.strip_suffix('.')) {
            answers.push(answer.to_owned());
        }
        if answers.len() == ANSWERS_BEFORE {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    answers
}

#[tokio::test]
#[ignore = "it writes until it is killed: the test above starts and kills it"]
async fn writes_until_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let round = std::env::var("ROUND").unwrap();
    let catalog = SqlCatalog::open_sqlite(path).await.unwrap();
    for n in 0_u64.. {
        let detail = format!("round {round} line {n}");
        let at = Timestamp::UNIX_EPOCH;
        catalog.record(&Actor::Operator, Action::ListViewed, None, &detail, at).await.unwrap();
        println!("{ANSWER}{detail}.");
    }
}
