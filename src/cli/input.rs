//! Reading files that commands are given; `-` is standard input.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::client::Failure;

/// The whole of a file.
pub fn whole(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut octets)
    } else {
        std::fs::File::open(file).and_then(|mut f| f.read_to_end(&mut octets))
    };
    read.map(|_| octets).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
}

/// An object, in JSON if it starts with a brace, otherwise in TOML.
pub fn object(file: &Path) -> Result<Map<String, Value>, Failure> {
    let bad = |why: String| Failure::Usage(format!("{}: {why}", file.display()));
    let text = String::from_utf8(whole(file)?).map_err(|_| bad("is not UTF-8".to_owned()))?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map_err(|e| bad(e.to_string()));
    }
    toml::from_str(&text).map_err(|e| bad(e.to_string()))
}
