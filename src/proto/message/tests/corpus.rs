//! Real and malformed messages: no summary is malformed, and other parsers agree with it.

use std::path::{Path, PathBuf};

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;

use super::*;

fn messages() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/messages")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                found.push((path, content));
            }
        }
    }
    assert!(found.len() >= 100, "{} messages", found.len());
    found
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in content.split_inclusive(|b| *b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line)));
        if line.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[test]
fn every_message_has_a_well_formed_summary() {
    for (path, content) in messages() {
        for content in [with_crlf(&content), content] {
            let summary = scan(&content);
            check(&content, &summary).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let mut split = Scanner::new();
            content.chunks(61).for_each(|chunk| split.push(chunk));
            split.end();
            assert_eq!(split.structure(), summary.root, "{}", path.display());
            assert_eq!(split.finish(b""), summary, "{}", path.display());
        }
    }
}

#[test]
fn imap_codec_reads_every_summary() {
    for (path, content) in messages() {
        let summary = scan(&content);
        // RFC 9051 lets message/global hold an envelope; imap-codec knows RFC 3501 only.
        let is_global = memchr::memmem::find(&summary.body.to_ascii_lowercase(), br#""message" "global""#).is_some();
        let line =
            [b"* 1 FETCH (ENVELOPE ", &summary.envelope[..], b" BODYSTRUCTURE ", &summary.body_structure, b")\r\n"]
                .concat();
        let read = ResponseCodec::default().decode(&line);
        assert!(is_global || matches!(read, Ok((b"", _))), "{}: {}", path.display(), String::from_utf8_lossy(&line));
    }
}
