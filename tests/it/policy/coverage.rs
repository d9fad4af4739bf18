//! Every row of the decision tables is shown on the wire, or stands in a list here with the reason.
//!
//! A row is shown where its ID stands in the code of a test, comments left out: the tests are read as text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The tables that are the policy core's (T1 to T11, T15), and how many rows each has. T12 to T14 (recycle bin, delegated
/// administrators, login policies) are not.
const TABLES: &[(char, u32)] = &[
    ('L', 34),
    ('S', 20),
    ('P', 63),
    ('N', 22),
    ('E', 28),
    ('M', 18),
    ('A', 31),
    ('F', 24),
    ('R', 30),
    ('Q', 18),
    ('W', 72),
    ('U', 10),
];

/// Where a row that is not shown on the wire is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// In the tests of the pure functions, of the admin API or of the store, by its ID.
    Beside,
    Nowhere,
}

use Shown::{Beside, Nowhere};

/// Rows that are not shown on the wire, and why.
const LEFT_OUT: &[(&str, Shown, &str)] = &[
    ("P58", Nowhere, "policy data is read as a whole at the start or the server does not start: see `edited`"),
    ("W67", Nowhere, "the same"),
    ("Q01", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q02", Nowhere, "since when a mailbox is full is not known yet"),
    ("Q03", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q04", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q05", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q06", Nowhere, "sizes are shown in `smtp_dialogs`, not as rows"),
    ("Q07", Nowhere, "the same"),
    ("Q08", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q09", Beside, "the store decides"),
    ("Q10", Beside, "the store decides"),
    ("Q11", Beside, "the store decides"),
    ("Q12", Nowhere, "quotas are not shown as rows on the wire yet"),
    ("Q17", Nowhere, "there are no quota warnings yet"),
    ("R24", Beside, "there are no filters"),
    ("U02", Beside, "change and record are one commit"),
];

#[test]
fn every_row_is_shown_or_left_out_for_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let this = root.join("tests/it/policy/coverage.rs");
    let wire: Vec<PathBuf> = files(&root.join("tests/it")).into_iter().filter(|file| *file != this).collect();
    let beside: Vec<PathBuf> = ["src", "tests/store_contract", "tests/emailauth"]
        .iter()
        .flat_map(|folder| files(&root.join(folder)))
        .collect();
    let (wire, beside) = (shown(&wire), shown(&beside));
    let rows = TABLES.iter().flat_map(|(table, count)| (1..=*count).map(move |n| format!("{table}{n:02}")));
    let mut faults = Vec::new();
    for row in rows {
        let left_out = LEFT_OUT.iter().find(|(id, ..)| *id == row);
        match (wire.contains(&row), left_out) {
            (true, None) | (false, Some((_, Nowhere, _))) => {}
            (false, Some((_, Beside, _))) if beside.contains(&row) => {}
            (false, Some((_, Beside, _))) => faults.push(format!("{row}: shown nowhere, although it is said to be")),
            (false, None) => faults.push(format!("{row}: not shown, and no reason given")),
            (true, Some(_)) => faults.push(format!("{row}: shown, take it off the list")),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The Rust files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => files(&path),
            Some(extension) if extension == "rs" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

/// The IDs in the code of these files.
fn shown(files: &[PathBuf]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).expect("text");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for word in code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric())) {
            let (table, number) = word.split_at(word.len().min(1));
            if TABLES.iter().any(|(t, _)| table.starts_with(*t)) && number.len() == 2 && number.parse::<u32>().is_ok() {
                found.insert(word.to_owned());
            }
        }
    }
    found
}
