use proptest::prelude::*;

use super::super::{Scanner, decode};
use super::*;

fn plan(content: &[u8], takes_eight_bit: bool, size: usize) -> Result<Plan, NotPossible> {
    let mut scanner = Scanner::new();
    scanner.push(content);
    let mut planner = Planner::new(&scanner.finish(b"").root, takes_eight_bit);
    content.chunks(size).for_each(|piece| planner.push(piece));
    planner.finish()
}

fn rewritten(content: &[u8], plan: &Plan, size: usize) -> String {
    let mut rewriter = plan.rewriter();
    let mut out = Vec::new();
    content.chunks(size).for_each(|piece| rewriter.push(piece, &mut out));
    rewriter.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn downgraded(content: &str, takes_eight_bit: bool) -> Result<String, NotPossible> {
    let content = content.as_bytes();
    let whole = plan(content, takes_eight_bit, usize::MAX).map(|plan| rewritten(content, &plan, usize::MAX));
    let pieces = plan(content, takes_eight_bit, 3).map(|plan| rewritten(content, &plan, 2));
    assert_eq!(whole, pieces, "depends on the pieces");
    whole
}

const MIXED: &str = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\
                     \r\npre\u{e4}mble\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e aus Basel \r\n\r\n--b\r\n\r\nASCII\r\n--b--\r\nend\r\n";

#[test]
fn parts_beyond_ascii_are_encoded() {
    let text = |encoding: &str, body: &str| {
        format!(
            "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: \
             {encoding}\r\n\r\n{body}"
        )
    };
    for (case, content, want) in [
        ("ASCII", "A: b\r\n\r\nc\r\n".to_owned(), "A: b\r\n\r\nc\r\n".to_owned()),
        ("text", text("8bit", "\u{e4} plain text \r\n"), text("quoted-printable", "=C3=A4 plain text=20\r\n")),
        ("mostly beyond ASCII", text("8bit", "\u{6587}\r\n"), text("base64", "5paHDQo=")),
        ("only called so", text("8bit", "a\r\n"), text("7bit", "a\r\n")),
        (
            "without MIME",
            "A: b\r\n\r\nplain \u{e4}\r\n".to_owned(),
            "A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\nplain =C3=A4\r\n"
                .to_owned(),
        ),
        (
            "binary",
            "Content-Type: application/x\r\nMIME-Version: 1.0\r\n\r\n\u{e4} and more\r\n".to_owned(),
            "Content-Type: application/x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\nw6QgYW5kIG1vcmUNCg=="
                .to_owned(),
        ),
        (
            "quoted, but not all",
            text("quoted-printable", "=C3=A4 \u{e4}\r\n"),
            text("quoted-printable", "=C3=A4 =C3=A4\r\n"),
        ),
        (
            "parts",
            MIXED.to_owned(),
            MIXED
                .replacen("8bit", "7bit", 1)
                .replace("8bit", "quoted-printable")
                .replace("pre\u{e4}mble", "pre??mble")
                .replace("Gr\u{fc}\u{df}e aus Basel \r", "Gr=C3=BC=C3=9Fe aus Basel=20\r"),
        ),
        (
            "message inside",
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n\r\nplain \u{e4}\r\n".to_owned(),
            "Content-Type: message/rfc822\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\nA: b\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: \
             quoted-printable\r\n\r\nplain =C3=A4\r\n"
                .to_owned(),
        ),
    ] {
        assert_eq!(downgraded(&content, false).as_ref(), Ok(&want), "{case}");
        assert_eq!(downgraded(&content, true).as_ref(), Ok(&content), "{case}: taken as it is");
    }
}

#[test]
fn long_lines_are_encoded_where_eight_bit_is_taken() {
    let long = "x".repeat(1_500);
    let head = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n";
    let out = downgraded(&format!("{head}\r\n{long}\u{e4}\r\n"), true).unwrap();
    let (header, body) = out.split_once("\r\n\r\n").unwrap();
    assert!(header.ends_with("\r\nContent-Transfer-Encoding: quoted-printable"));
    assert_eq!(decode::decode_quoted_printable(body.as_bytes()), format!("{long}\u{e4}\r\n").into_bytes());

    let base64 = format!("{head}Content-Transfer-Encoding: base64\r\n\r\n{}\r\n", "QUJD".repeat(400));
    let out = downgraded(&base64, false).unwrap();
    assert!(out.lines().all(|line| line.len() <= 76));
    assert_eq!(out.replace("\r\n", ""), base64.replace("\r\n", ""));
}

#[test]
fn what_has_no_other_form() {
    let long = "x".repeat(1_500);
    let signed = MIXED.replace("multipart/mixed", "multipart/signed");
    for (case, content, takes_eight_bit, want) in [
        ("signed", signed.clone(), false, NotPossible::Protected),
        ("encrypted", MIXED.replace("multipart/mixed", "multipart/encrypted"), false, NotPossible::Protected),
        ("signed, long", signed.replace("ASCII", &long), true, NotPossible::Protected),
        ("header", "Subject: \u{e4}\r\n\r\na\r\n".to_owned(), false, NotPossible::Header),
        ("header of a part", MIXED.replace("--b\r\n\r\n", "--b\r\nX: \u{e4}\r\n\r\n"), false, NotPossible::Header),
        ("unknown encoding", "Content-Transfer-Encoding: x-uu\r\n\r\n\u{e4}\r\n".to_owned(), false, NotPossible::Part),
        ("broken Base64", "Content-Transfer-Encoding: base64\r\n\r\n\u{e4}\r\n".to_owned(), false, NotPossible::Part),
        ("partial message", "Content-Type: message/partial\r\n\r\n\u{e4}\r\n".to_owned(), false, NotPossible::Part),
        ("no boundary", "Content-Type: multipart/mixed\r\n\r\n\u{e4}\r\n".to_owned(), false, NotPossible::Part),
        ("long preamble", MIXED.replace("pre\u{e4}mble", &long), true, NotPossible::Part),
    ] {
        assert_eq!(downgraded(&content, takes_eight_bit), Err(want), "{case}");
    }
    assert!(downgraded(&signed, true).is_ok(), "taken as it is");
}

proptest! {
    #[test]
    fn what_comes_out_is_seven_bit(
        parts in proptest::collection::vec("(Content-Type: (text/plain|application/x|multipart/mixed; boundary=c|message/rfc822)\r\n)?(Content-Transfer-Encoding: (8bit|base64|quoted-printable)\r\n)?\r\n([a-z=\u{e4}\r\n]{0,40}|--c(--)?\r\n)", 0..4),
        size in 1usize..50,
    ) {
        let mut content = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
        parts.iter().for_each(|part| content.push_str(&format!("--b\r\n{part}\r\n")));
        content.push_str("--b--\r\n");
        let content = content.as_bytes();
        let whole = plan(content, false, usize::MAX);
        prop_assert_eq!(&whole, &plan(content, false, size));
        if let Ok(plan) = whole {
            let out = rewritten(content, &plan, usize::MAX);
            prop_assert_eq!(&out, &rewritten(content, &plan, size));
            prop_assert!(out.is_ascii(), "{}", out);
        }
    }
}
