//! What particular messages look like.

use super::*;

fn body_structure(content: &str) -> String {
    let summary = scan(content.as_bytes());
    check(content.as_bytes(), &summary).unwrap();
    String::from_utf8(summary.body_structure).unwrap()
}

const PLAIN: &str = r#""TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT""#;

#[test]
fn structures_are_shown_as_rfc_3501_has_them() {
    let rows = [
        ("nothing at all", "", format!("({PLAIN} 0 0 NIL NIL NIL NIL)")),
        ("no body", "Subject: x\r\n", format!("({PLAIN} 0 0 NIL NIL NIL NIL)")),
        ("no header", "\r\nhi\r\n", format!("({PLAIN} 4 1 NIL NIL NIL NIL)")),
        ("plain", "Subject: x\r\n\r\na\r\nb\r\n", format!("({PLAIN} 6 2 NIL NIL NIL NIL)")),
        ("bare line feeds", "Subject: x\n\na\nb", format!("({PLAIN} 3 1 NIL NIL NIL NIL)")),
        ("malformed type", "Content-Type: text\r\n\r\na", format!("({PLAIN} 1 0 NIL NIL NIL NIL)")),
        ("no boundary", "Content-Type: multipart/mixed\r\n\r\na", format!("({PLAIN} 1 0 NIL NIL NIL NIL)")),
        (
            "no parts",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n",
            format!("(({PLAIN} 0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"),
        ),
        (
            "all fields",
            "content-type: Image/PNG (c); Name=a b.png ; x=\"\\\"\"\r\nContent-ID: <1@x>\r\nContent-Description: d e\r\n\
             Content-Transfer-Encoding: BASE64\r\nContent-MD5: m==\r\nContent-Disposition: attachment;\r\n filename=\"a b.png\"\r\n\
             Content-Language: de, en\r\nContent-Location: http://x/\r\n\r\nQUJD\r\n",
            r#"("Image" "PNG" ("Name" "a b.png" "x" "\"") "<1@x>" "d e" "BASE64" 6 "m==" ("attachment" ("filename" "a b.png")) ("de" "en") "http://x/")"#.into(),
        ),
        (
            "parameters of RFC 2231 pass as received",
            "Content-Type: text/html; charset=UTF-8\r\nContent-Disposition: inline; filename*0*=utf-8''%c3%a4; filename*1=b\r\n\r\n",
            r#"("text" "html" ("charset" "UTF-8") NIL NIL "7BIT" 0 0 NIL ("inline" ("filename*0*" "utf-8''%c3%a4" "filename*1" "b")) NIL NIL)"#.into(),
        ),
        (
            "two parts, preamble, epilogue",
            "Content-Type: multipart/mixed; boundary=\"b c\"\r\n\r\npre\r\n--b c\r\n\r\na\r\n--b c  \r\nContent-Type: x/y\r\n\r\nbc\r\n\r\n--b c--\r\n--b c\r\n",
            format!("(({PLAIN} 1 0 NIL NIL NIL NIL)(\"x\" \"y\" NIL NIL NIL \"7BIT\" 4 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b c\") NIL NIL NIL)"),
        ),
        (
            "an outer delimiter ends inner parts",
            "Content-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: multipart/alternative; boundary=b10\r\n\r\n--b10\r\n\r\nin\r\n--b1\r\n\r\nout\r\n--b1--",
            format!("((({PLAIN} 2 0 NIL NIL NIL NIL) \"alternative\" (\"boundary\" \"b10\") NIL NIL NIL)({PLAIN} 3 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b1\") NIL NIL NIL)"),
        ),
        (
            "text behind a close delimiter",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na\r\n--b x\r\n--b-- x\r\n--b\r\n",
            format!("(({PLAIN} 8 1 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"),
        ),
        (
            "a delimiter cuts off a header",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n--b\r\n--b--\r\n",
            format!(
                "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ({PLAIN} 0 0 NIL NIL NIL NIL) 0 NIL NIL NIL NIL)({PLAIN} 0 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
            ),
        ),
        (
            "messages of a digest",
            "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\nFrom: a@b\r\n\r\nx\r\ny\r\n--b--\r\n",
            format!(
                "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 29 (NIL \"s\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) ({PLAIN} 4 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL) \"digest\" (\"boundary\" \"b\") NIL NIL NIL)"
            ),
        ),
        (
            "an encoded message is opaque",
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==",
            r#"("application" "octet-stream" NIL NIL NIL "base64" 4 NIL NIL NIL NIL)"#.into(),
        ),
    ];
    for (name, content, want) in rows {
        assert_eq!(body_structure(content), want, "{name}");
    }
}

const NESTED: &str = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: 1\r\n\r\none\r\n--b\r\n\
    Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\ntwo-one\r\n--c\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: deep\r\n\r\ndeep\r\n--c--\r\n--b--\r\n";

#[test]
fn sections_are_found_by_number() {
    let summary = scan(NESTED.as_bytes());
    let section = |numbers: &[u32], section| {
        let (start, end) = summary.range(numbers, section)?;
        Some(&NESTED[start as usize..end as usize])
    };
    use Section::{Header, Mime, Text, Whole};
    let inner = "Content-Type: multipart/mixed; boundary=c\r\n\r\n";
    let rows: &[(&[u32], Section, Option<&str>)] = &[
        (&[], Whole, Some(NESTED)),
        (&[], Header, Some("Content-Type: multipart/mixed; boundary=b\r\n\r\n")),
        (&[], Mime, None),
        (&[1], Whole, Some("one")),
        (&[1], Mime, Some("X: 1\r\n\r\n")),
        (&[1], Header, None),
        (&[1], Text, None),
        (&[1, 1], Whole, None),
        (&[2], Header, Some(inner)),
        (&[2], Mime, Some("Content-Type: message/rfc822\r\n\r\n")),
        (&[2, 1], Whole, Some("two-one")),
        (&[2, 1], Mime, Some("\r\n")),
        (&[2, 2], Whole, Some("Subject: deep\r\n\r\ndeep")),
        (&[2, 2], Text, Some("deep")),
        (&[2, 2], Header, Some("Subject: deep\r\n\r\n")),
        (&[2, 2, 1], Whole, Some("deep")),
        (&[2, 2, 1], Mime, Some("Subject: deep\r\n\r\n")),
        (&[2, 2, 2], Whole, None),
        (&[2, 2, 1, 1], Whole, None),
        (&[0], Whole, None),
        (&[3], Whole, None),
        (&[u32::MAX], Whole, None),
    ];
    for (numbers, what, want) in rows {
        assert_eq!(section(numbers, *what), *want, "{numbers:?} {what:?}");
    }
    assert_eq!(section(&[2], Text), section(&[2], Whole).map(|whole| &whole[inner.len()..]));
}

#[test]
fn the_only_part_of_a_message_is_number_one() {
    let content = b"Subject: x\r\n\r\nbody";
    let summary = scan(content);
    assert_eq!(summary.range(&[1], Section::Whole), Some((14, 18)));
    assert_eq!(summary.range(&[1], Section::Mime), Some((0, 14)));
    assert_eq!(summary.range(&[1], Section::Text), None);
    assert_eq!(summary.range(&[1, 1], Section::Whole), None);
    assert_eq!(summary.range(&[2], Section::Whole), None);
}

#[test]
fn header_fields_before_the_content_count_for_the_envelope() {
    let mut scanner = Scanner::new();
    scanner.push(b"Subject: x\r\n");
    assert!(!scanner.header_complete());
    scanner.push(b"\r\nbody");
    assert!(scanner.header_complete());
    assert_eq!(scanner.header(), b"Subject: x\r\n");
    let summary = scanner.finish(b"Date: d\r\nMessage-ID: <i>\r\n");
    assert_eq!(summary.envelope, br#"("d" "x" NIL NIL NIL NIL NIL NIL NIL "<i>")"#);
    assert_eq!(summary.root.body, (14, 18));
}

#[test]
fn depth_is_bounded() {
    let multiparts: String =
        (0..200).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(200);
    for content in [multiparts, messages] {
        let summary = scan(content.as_bytes());
        check(content.as_bytes(), &summary).unwrap();
        let depth = |mut part: &Part| {
            let mut depth = 0;
            loop {
                part = match &part.content {
                    PartContent::Leaf => return depth,
                    PartContent::Multipart(parts) => &parts[0],
                    PartContent::Message(top) => top,
                };
                depth += 1;
            }
        };
        assert_eq!(depth(&summary.root), 50);
    }
}

#[test]
fn a_type_longer_than_any_counts_as_malformed() {
    for (length, want) in [(127, false), (128, true)] {
        let long = "x".repeat(length);
        let seen = [format!("Content-Type: {long}/y\r\n\r\n"), format!("Content-Type: y/{long}\r\n\r\n")];
        assert!(seen.iter().all(|content| body_structure(content).contains("PLAIN") == want), "{length}");
    }
}

#[test]
fn parts_and_the_summary_are_bounded() {
    let parameters = format!("Content-Type: text/plain; name=\"{}\"\r\n\r\n", "x".repeat(15_000));
    for header in ["\r\n", parameters.as_str(), "Content-Type: message/rfc822\r\n\r\nTo: a@b,c@d\r\n\r\n"] {
        let part = format!("--b\r\n{header}text\r\n");
        let content = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(3000));
        let summary = scan(content.as_bytes());
        check(content.as_bytes(), &summary).unwrap();
        let mut seen = Vec::new();
        leaves(&summary.root, &mut seen);
        assert!((499..=1000).contains(&seen.len()), "{}", seen.len());
        assert!(summary.encode().len() < 4 << 20, "{}", summary.encode().len());
    }
}

#[test]
fn a_long_header_is_cut_but_its_body_found() {
    let content = format!("Subject: {}\r\n{}\r\nbody", "s".repeat(100_000), "X: y\r\n".repeat(100_000));
    for chunk in [1000, 1 << 20] {
        let mut scanner = Scanner::new();
        content.as_bytes().chunks(chunk).for_each(|chunk| scanner.push(chunk));
        assert_eq!(scanner.header(), &content.as_bytes()[..256 * 1024]);
        let summary = scanner.finish(b"");
        check(content.as_bytes(), &summary).unwrap();
        assert_eq!(summary.root.body, (content.len() as u64 - 4, content.len() as u64));
    }
    let one_line = format!("Subject: {}", "s".repeat(1_000_000));
    let mut scanner = Scanner::new();
    one_line.as_bytes().chunks(7).for_each(|chunk| scanner.push(chunk));
    assert_eq!(scanner.finish(b""), scan(one_line.as_bytes()));
}

#[test]
fn imap_codec_reads_what_we_write() {
    use imap_codec::ResponseCodec;
    use imap_codec::decode::Decoder as _;
    let hostile = "From: \"a\\\\ \\\"\" <x@y>, g: z@z;, Jörg <\u{fc}@x>\r\nSubject: \"ü\"\r\nContent-Type: text/plain; name=\"ü\"\r\n\r\n";
    for content in [NESTED, hostile, ""] {
        let summary = scan(content.as_bytes());
        let mut line = b"* 1 FETCH (ENVELOPE ".to_vec();
        line.extend_from_slice(&summary.envelope);
        line.extend_from_slice(b" BODYSTRUCTURE ");
        line.extend_from_slice(&summary.body_structure);
        line.extend_from_slice(b")\r\n");
        let read = ResponseCodec::default().decode(&line);
        assert!(matches!(read, Ok((b"", _))), "{read:?} {}", String::from_utf8_lossy(&line));
    }
}
