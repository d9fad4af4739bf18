//! Holds the import directions of the source: a module imports only what stands above it, the pure modules touch
//! neither runtime nor files, sockets or clock, and what belongs to one place (the storage engine's crate, the HTTP
//! server's) appears in that place alone.
//!
//! The sources are read as text: comments, literals and `#[cfg(test)]` items are cut out first, then every path that
//! starts at the crate root is looked at, `super::` chains included.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and what it may import, in order of dependency.
const ALLOWED: &[(&str, &[&str])] = &[
    ("metrics", &[]),
    ("mail", &[]),
    ("proto", &["mail"]),
    ("directory", &["mail"]),
    ("policy", &["mail", "proto", "directory"]),
    ("routing", &["mail", "proto", "directory", "policy"]),
    ("net", &["mail"]),
    ("store", &["metrics", "mail", "directory"]),
    ("webhook", &["mail", "proto", "net", "store"]),
    ("emailauth", &["mail", "proto", "net"]),
    ("hooks", &["metrics", "mail", "proto", "directory", "policy", "net", "store"]),
    ("login", &["metrics", "mail", "proto", "directory", "policy", "store"]),
    ("accept", &["mail", "proto", "directory", "policy", "routing", "net", "store", "emailauth", "hooks", "login"]),
    (
        "delivery",
        &[
            "metrics",
            "mail",
            "proto",
            "directory",
            "policy",
            "routing",
            "net",
            "store",
            "webhook",
            "emailauth",
            "hooks",
            "login",
            "accept",
        ],
    ),
    (
        "server",
        &[
            "metrics",
            "mail",
            "proto",
            "directory",
            "policy",
            "routing",
            "net",
            "store",
            "webhook",
            "emailauth",
            "hooks",
            "login",
            "accept",
        ],
    ),
    // What it offers to clients is in the words of the records that say so.
    ("config", &["mail", "proto", "policy", "net", "store", "webhook", "hooks", "server", "delivery"]),
    ("telemetry", &["mail", "config"]),
    (
        "app",
        &[
            "metrics",
            "mail",
            "proto",
            "directory",
            "net",
            "store",
            "webhook",
            "emailauth",
            "hooks",
            "login",
            "accept",
            "delivery",
            "server",
            "config",
            "telemetry",
        ],
    ),
    ("cli", &["mail", "directory", "net", "store", "hooks", "server", "config", "telemetry", "app"]),
    ("lib", &[]),
    ("main", &["cli"]),
];

/// Modules without runtime, files, sockets and clock.
const PURE: &[&str] = &["mail", "proto", "directory", "policy", "routing"];

/// What a pure module may not name.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio_rustls",
    "rocksdb",
    "rustix",
    "socket2",
    "axum",
    "hyper",
    "getrandom",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
];

/// Crates that one place alone may use: crate, and the path prefixes that may.
const CONFINED: &[(&str, &[&str])] = &[
    // The assembly opens the engine and says why it does not open.
    ("rocksdb", &["src/store/engine/rocks", "src/app.rs"]),
    ("mail_parser", &["src/proto/message"]),
    ("mail_auth", &["src/emailauth"]),
    ("hickory_resolver", &["src/net/dns.rs", "src/net/dnssec.rs"]),
    ("psl", &["src/mail/alignment.rs"]),
    ("axum", &["src/server/admin"]),
    ("clap", &["src/cli"]),
    ("hyper", &["src/cli", "src/net/http_client", "src/server/admin"]),
    ("hyper_util", &["src/cli", "src/net/http_client", "src/server/admin"]),
];

#[test]
fn modules_import_only_what_stands_above_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module[0].as_str();
        let Some((_, allowed)) = ALLOWED.iter().find(|(m, _)| *m == module) else {
            wrong.push(format!("{}: module `{module}` is not in the table", source.name));
            continue;
        };
        for import in source.imports() {
            let known = ALLOWED.iter().any(|(m, _)| *m == import);
            if known && import != module && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: `{module}` imports `{import}`", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_touch_no_runtime_file_socket_or_clock() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| PURE.contains(&s.module[0].as_str())) {
        for path in source.paths() {
            for name in IMPURE {
                if starts_at(&path, name) {
                    wrong.push(format!("{}: `{path}`", source.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_crates_are_used_in_one_place_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for path in source.paths() {
            for (name, places) in CONFINED {
                if path.split("::").next() == Some(name)
                    && path.contains("::")
                    && !places.iter().any(|p| source.name.starts_with(p))
                {
                    wrong.push(format!("{}: `{path}`", source.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_and_file_opens_with_its_doc() {
    let missing: Vec<_> =
        sources().into_iter().filter(|s| !s.text.trim_start().starts_with("//!")).map(|s| s.name).collect();
    assert!(missing.is_empty(), "no `//!` at the start of {missing:?}");
}

#[test]
fn the_scanner_sees_each_form_of_import() {
    let text = r#"
        // use crate::comment::X;
        use crate::one::A;
        use crate::{two::B, three, four::{C, five}};
        fn f() { let _ = crate::six::g(); super::super::seven::h(); "crate::text::X"; }
        /* crate::block::X */
        #[cfg(test)]
        mod tests { use crate::testing::X; }
    "#;
    let source = Source::new("src/a/b.rs", text);
    let mut found = source.imports();
    found.sort();
    assert_eq!(found, ["four", "one", "seven", "six", "three", "two"]);
    let source =
        Source::new("src/mail/b.rs", "use std::{fs::File, net::{IpAddr, TcpStream}}; fn f() { SystemTime::now(); }");
    let paths = source.paths();
    for name in ["std::fs", "std::net::TcpStream", "SystemTime"] {
        assert!(paths.iter().any(|p| starts_at(p, name)), "{name} in {paths:?}");
    }
}

/// True if `name` stands in `path` from the start of one of its segments, or names its beginning.
fn starts_at(path: &str, name: &str) -> bool {
    if name.starts_with("std::") || name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()) {
        path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
    } else {
        format!("::{path}::").contains(&format!("::{name}::"))
    }
}

/// A source file without comments, literals and test items.
struct Source {
    name: String,
    module: Vec<String>,
    text: String,
    code: String,
}

impl Source {
    fn new(name: &str, text: &str) -> Self {
        let inner = name.strip_prefix("src/").unwrap_or(name);
        let mut module: Vec<String> =
            inner.strip_suffix(".rs").unwrap_or(inner).split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|m| m == "mod") {
            module.pop();
        }
        Self { name: name.to_owned(), module, text: text.to_owned(), code: without_tests(&without_text(text)) }
    }

    /// Modules in files of their own that only tests have: `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let marked = self.text.split("#[cfg(test)]").skip(1);
        marked
            .filter_map(|after| {
                let name = after.trim_start().strip_prefix("mod ")?.split_once(';')?.0;
                let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                is_name.then(|| self.module.iter().cloned().chain([name.to_owned()]).collect())
            })
            .collect()
    }

    /// The top-level modules that the file names.
    fn imports(&self) -> Vec<String> {
        let mut found: Vec<String> = self
            .paths()
            .iter()
            .filter_map(|path| {
                let mut segments = path.split("::");
                match segments.next()? {
                    "crate" | "posthouse" => segments.next().map(str::to_owned),
                    "super" => {
                        let up = 1 + segments.clone().take_while(|s| *s == "super").count();
                        // From `a::b`, one `super` is `a` and two are the root. Inline modules do not occur outside tests.
                        (up >= self.module.len()).then(|| path.split("::").nth(up).map(str::to_owned)).flatten()
                    }
                    _ => None,
                }
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Every path with `use` groups taken apart.
    fn paths(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut rest = self.code.as_str();
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let (mut paths, used) = path(&rest[start..]);
            all.append(&mut paths);
            rest = &rest[start + used..];
        }
        all
    }
}

/// The path at the start of `text`, or each of a group's, and how much of the text it takes.
fn path(text: &str) -> (Vec<String>, usize) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let name = &text[..end];
    let Some(after) = text[end..].strip_prefix("::") else { return (vec![name.to_owned()], end.max(1)) };
    let mut used = end + 2;
    if let Some(group) = after.strip_prefix('{') {
        used += 1;
        let mut inner = group;
        let mut all = Vec::new();
        loop {
            let skipped = inner.len() - inner.trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
            inner = &inner[skipped..];
            used += skipped;
            if inner.is_empty() {
                return (all, used);
            }
            if inner.starts_with('}') {
                return (all, used + 1);
            }
            let (paths, n) = if inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                path(inner)
            } else {
                (vec!["*".to_owned()], inner.chars().next().map_or(1, char::len_utf8))
            };
            all.extend(paths.iter().map(|p| format!("{name}::{p}")));
            inner = &inner[n..];
            used += n;
        }
    }
    if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let (paths, n) = path(after);
        return (paths.iter().map(|p| format!("{name}::{p}")).collect(), used + n);
    }
    (vec![name.to_owned()], used)
}

/// Blanks out comments, strings and characters.
fn without_text(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < bytes.len() {
        let rest = &text[i..];
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |n| n + 2)
        } else if let Some(n) = raw_string(rest) {
            n
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\'')) {
            // A character; a lifetime has no second quote there.
            1 + rest[1..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(1, |(n, _)| n + 1)
        } else {
            0
        };
        if skip > 0 {
            out.push(' ');
            i += skip;
        } else {
            let c = rest.chars().next().unwrap_or(' ');
            out.push(c);
            i += c.len_utf8();
        }
    }
    out
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map(|n| rest.len() - body.len() + n + end.len())
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (n, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return n + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Cuts out each item that stands after `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        let mut depth = 0_usize;
        let mut end = rest.len();
        for (n, c) in rest[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    end = start + n + 1;
                    break;
                }
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => {
                    end = start + n + 1;
                    break;
                }
                _ => {}
            }
        }
        rest = &rest[end..];
    }
    out + rest
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 10, "no sources found");
    files.sort();
    let all: Vec<Source> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(root).expect("below the root").display().to_string();
            Source::new(&name, &fs::read_to_string(&file).expect("a readable source"))
        })
        .collect();
    let tests: Vec<Vec<String>> = all.iter().flat_map(Source::test_modules).collect();
    all.into_iter().filter(|s| !tests.iter().any(|t| s.module.starts_with(t))).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}
