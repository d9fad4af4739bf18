//! The facts of policy semantics T11 that concern content, named by their rows, and hostile messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn inspect(message: impl AsRef<[u8]>) -> Inspection<'static> {
    Inspection::of(message.as_ref().to_vec(), false, Inspection::LIMIT)
}

fn keyword(text: &str) -> Phrase {
    Phrase::new(text)
}

fn in_body(message: impl AsRef<[u8]>, text: &str) -> bool {
    inspect(message).body_contains(&keyword(text))
}

fn mixed(parts: &[&str]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b\r\n{part}\r\n")).collect();
    format!("Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")
}

#[test]
fn w23_subject_in_gb18030() {
    // 机密
    let header = "Subject: =?GB18030?B?u/rD3A==?=\r\n\r\n";
    let found = inspect(header);
    assert!(keyword("机密").is_in(&subjects(fields(header.as_bytes()))));
    assert!(!found.body_contains(&keyword("机密")));
    let header = "Subject: =?GB18030?B?u/o=?=\r\n =?GB18030?B?w9w=?=\r\n\r\n";
    assert!(keyword("机密").is_in(&subjects(fields(header.as_bytes()))), "in two encoded-words");
}

#[test]
fn w24_body_in_base64_utf16_html_with_entities() {
    let html = "<html><body><p>top s<b>ecr</b>&eacute;t pl&#97;n &#x4e2d;\u{6587}</p></body></html>";
    for (charset, octets) in [
        ("utf-16", html.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        ("utf-16be", html.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        let encoded = STANDARD.encode(octets);
        let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let message = format!(
            "Content-Type: text/html; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            lines.join("\r\n")
        );
        assert!(in_body(&message, "SECRÉT PLAN 中文"), "{charset}");
        assert!(!in_body(&message, "body"), "{charset}");
        assert!(!inspect(&message).is_incomplete(), "{charset}");
    }
}

#[test]
fn w25_attachment_name_continued_and_encoded() {
    let part = "Content-Type: application/pdf\r\nContent-Disposition: attachment;\r\n \
        filename*0*=utf-8''%E6%9C%BA;\r\n filename*1*=%E5%AF%86%20;\r\n filename*2=\"plan.pdf\"\r\n\r\nx";
    let found = inspect(mixed(&[part]));
    assert_eq!(found.attachment_names(), ["机密 plan.pdf"]);
    assert!(found.attachment_name_contains(&keyword("机密 PLAN")));
    assert!(found.attachment_name_matches(&NamePattern::new("机*.PDF")));
    assert!(!found.attachment_name_matches(&NamePattern::new("机*.exe")));
    assert!(found.has_attachment());
}

#[test]
fn w26_full_width_keyword_finds_half_width_text() {
    assert!(in_body("\r\nthe abc12 text", "ＡＢＣ１２"));
    assert!(in_body("Content-Type: text/plain; charset=utf-8\r\n\r\nｶﾞｷﾞ", "ガギ"));
}

#[test]
fn w27_inline_image_is_no_attachment() {
    let html = "Content-Type: text/html\r\n\r\n<img src=\"cid:logo@x\">";
    let image = |rest: &str| format!("Content-Type: image/png; name=logo.png\r\nContent-ID: <logo@x>\r\n{rest}\r\nx");
    let attached = "Content-Disposition: attachment; filename=logo.png\r\n";
    for (case, parts, want) in [
        ("inline with Content-ID", vec![html, &image("Content-Disposition: inline\r\n")], false),
        ("shown by the HTML", vec![html, &image("")], false),
        ("attached but shown", vec![html, &image(attached)], false),
        ("not shown", vec![&image("")], true),
        ("attached and not shown", vec![&image(attached)], true),
        ("without Content-ID", vec![html, "Content-Type: image/png; name=x.png\r\n\r\nx"], true),
        ("named PDF", vec!["Content-Type: application/pdf; name=x.pdf\r\n\r\nx"], true),
        ("PDF without a name", vec!["Content-Type: application/pdf\r\n\r\nx"], false),
        ("inline PDF with a name", vec!["Content-Type: a/pdf; name=x\r\nContent-Disposition: inline\r\n\r\nx"], true),
        ("named text", vec!["Content-Type: text/plain; name=x.txt\r\n\r\nx"], false),
        ("attached text", vec!["Content-Disposition: attachment\r\n\r\nx"], true),
        ("unknown disposition", vec!["Content-Disposition: other\r\n\r\nx"], true),
        ("text alone", vec!["\r\nx"], false),
    ] {
        assert_eq!(inspect(mixed(&parts)).has_attachment(), want, "{case}");
    }
}

#[test]
fn w28_encrypted_parts_match_no_keyword() {
    let smime = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n\r\nsecret";
    let signed = "Content-Type: application/x-pkcs7-mime; smime-type=\"signed-data\"\r\n\r\nsecret";
    let pgp = "Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n\
        Version: 1\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\nsecret\r\n--b--\r\n";
    for (case, message, is_encrypted, is_incomplete) in
        [("S/MIME", smime, true, false), ("opaque signature", signed, false, true), ("PGP/MIME", pgp, true, false)]
    {
        let found = inspect(message);
        assert!(!found.body_contains(&keyword("secret")), "{case}");
        assert_eq!((found.is_encrypted(), found.is_incomplete()), (is_encrypted, is_incomplete), "{case}");
    }
}

#[test]
fn bodies_of_many_languages() {
    let japanese = b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B5!L)\x1b(B\r\n";
    assert!(in_body(japanese, "機密"));
    let turkish =
        b"Content-Type: text/plain; charset=iso-8859-9\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        =DDSTANBUL =FDrmak";
    for text in ["istanbul", "İstanbul", "ISTANBUL", "IRMAK"] {
        assert!(in_body(turkish, text), "{text}");
    }
    let german = "Content-Type: text/plain; charset=utf-8\r\n\r\nGroße Straße";
    assert!(in_body(german, "GROSSE STRASSE"));
}

#[test]
fn every_text_counts_and_nothing_else() {
    let inner = STANDARD.encode("Subject: =?utf-8?q?inn=65r?=\r\nContent-Type: text/html\r\n\r\n<i>ne</i>sted");
    let message = mixed(&[
        "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nattached text",
        "Content-Type: text/csv\r\n\r\none,two",
        "Content-Type: application/octet-stream\r\n\r\nbinary",
        "Content-Type: message/rfc822\r\n\r\nSubject: forwarded thing\r\n\r\nits body",
        &format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}"),
        "Content-Type: message/delivery-status\r\n\r\nAction: failed",
        "Content-Type: text/html\r\n\r\n<style>css</style>f<b>oo</b><script>js</script><!-- note -->",
    ]);
    for (text, want) in [
        ("attached text", true),
        ("one,two", true),
        ("binary", false),
        ("forwarded thing", true),
        ("its body", true),
        ("inner", true),
        ("nested", true),
        ("action: failed", true),
        ("foo", true),
        ("css", false),
        ("js", false),
        ("note", false),
        ("preamble", false),
        ("thing its", false),
    ] {
        assert_eq!(in_body(&message, text), want, "{text}");
    }
    assert!(!inspect(&message).is_incomplete());
}

#[test]
fn what_could_not_be_read_makes_it_incomplete() {
    let decoded_four_times = (0..4).fold("text".to_owned(), |inner, _| {
        format!(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            STANDARD.encode(format!("Subject: x\r\n{inner}"))
        )
    });
    for (case, message, want) in [
        ("plain", "\r\nx", false),
        ("unknown charset", "Content-Type: text/plain; charset=x-y\r\n\r\ncaf\u{e9}", false),
        ("broken charset", "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\ncaf\u{e9}", true),
        ("unknown encoding", "Content-Transfer-Encoding: x-uuencode\r\n\r\nx", true),
        ("no boundary", "Content-Type: multipart/mixed\r\n\r\nx", true),
        ("a piece", "Content-Type: message/partial; id=x; number=1\r\n\r\nx", true),
        ("messages in messages", &decoded_four_times, true),
        ("binary attachment", "Content-Type: application/x\r\n\r\n\u{e9}", false),
    ] {
        assert_eq!(inspect(message).is_incomplete(), want, "{case}");
    }
    assert!(Inspection::of(&b"\r\nx"[..], true, 100).is_incomplete(), "truncated");
}

#[test]
fn the_limit_holds_for_each_encoding() {
    let text = "needle ".repeat(20_000);
    let base64 = STANDARD.encode(&text);
    for (encoding, body) in [("8bit", text.clone()), ("base64", base64), ("quoted-printable", text.replace('n', "=6e"))]
    {
        let header = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n");
        let found = Inspection::of(format!("{header}{body}").into_bytes(), false, text.len());
        assert!(!found.is_incomplete() && found.body_contains(&keyword("needle")), "{encoding}");
        let found = Inspection::of(format!("{header}{body} late").into_bytes(), false, text.len());
        assert!(found.is_incomplete() && !found.body_contains(&keyword("late")), "{encoding}");
    }
}

#[test]
fn hostile_messages_are_bounded() {
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n".repeat(100_000)
    );
    assert!(inspect(&many).is_incomplete(), "many parts");
    let deep: String =
        (0..5_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    assert!(inspect(&deep).is_incomplete(), "deep");
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    assert!(inspect(&messages).is_incomplete(), "messages in messages");
    let names = mixed(&vec![format!("Content-Type: a/b; name={}\r\n", "x".repeat(10_000)).as_str(); 500]);
    assert!(!inspect(&names).is_incomplete(), "one name many times");
    let names: Vec<String> =
        (0..500).map(|n| format!("Content-Type: a/b; name={n}{}\r\n", "x".repeat(10_000))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(inspect(mixed(&names)).is_incomplete(), "many names");
    let flood = format!("Content-Transfer-Encoding: base64\r\n\r\n{}", "=\r\n".repeat(1_000_000));
    assert!(!inspect(&flood).body_contains(&keyword("x")), "base64 of nothing");
    let many = "Subject: =?utf-8?q?=?=\r\n".repeat(100_000);
    assert!(!keyword("x").is_in(&subjects(fields(many.as_bytes()))), "many subjects");
}

/// The inspection of an excerpt is that of the whole message, and reads no more than the texts.
#[test]
fn an_excerpt_is_enough() {
    let long = |text: &str| text.repeat(40_000 / text.len());
    let file = "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let inner = STANDARD.encode(format!("Subject: inner\r\n\r\n{}", long("nested text\r\n")));
    let attached = format!("Content-Type: message/rfc822\r\n\r\n{}", mixed(&[&format!("\r\n{}", long("deeper\r\n"))]));
    let mut unread = 0;
    for (case, parts) in [
        ("short", vec!["\r\nhello".to_owned(), format!("{file}AAAA")]),
        ("long file", vec!["\r\nhello".to_owned(), format!("{file}{}", long("AAAA\r\n")), "\r\nlast words".to_owned()]),
        ("long text", vec![format!("\r\n{}", long("plain text\r\n")), format!("{file}{}", long("AAAA\r\n"))]),
        ("long HTML", vec![format!("Content-Type: Text/HTML\r\n\r\n{}", long("<p>text</p>\r\n"))]),
        (
            "encoded message",
            vec![format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{inner}")],
        ),
        ("message", vec![attached]),
        (
            "multipart without parts",
            vec![format!("Content-Type: multipart/mixed; boundary=z\r\n\r\n{}", long("x\r\n"))],
        ),
        ("attached text", vec![format!("Content-Disposition: attachment; filename=a.exe\r\n\r\n{}", long("text\r\n"))]),
        ("nothing but files", vec![format!("{file}{}", long("AAAA\r\n")), format!("{file}{}", long("AAAA\r\n"))]),
    ] {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let message = mixed(&parts);
        let octets = message.as_bytes();
        let mut scanner = Scanner::new();
        scanner.push(octets);
        let root = scanner.finish_structure();
        let mut excerpt = Excerpt::default();
        let piece = |range: &std::ops::Range<u64>| octets[range.start as usize..range.end as usize].to_vec();
        outline(&root, octets.len() as u64).iter().for_each(|range| excerpt.add(range.start, piece(range)));
        texts(&root, &excerpt).iter().for_each(|range| excerpt.add(range.start, piece(range)));
        let found = Inspection::of_parts(&excerpt, &root, false, Inspection::LIMIT);
        assert!(format!("{found:?}") == format!("{:?}", inspect(&message)), "{case}");
        unread += octets.len() - excerpt.size();
    }
    assert!((150_000..170_000).contains(&unread), "{unread} octets of four long files stay unread");
}

#[test]
fn phrases_are_found_in_texts_of_either_kind_and_not_across_them() {
    let phrases = ["secret plan", "geheimer Plan"].map(Phrase::new);
    let set = PhraseSet::new(phrases.to_vec());
    let (ascii, other) =
        ("\r\nthe Secret\r\n PLAN", "Content-Type: text/plain; charset=utf-8\r\n\r\ngehe\u{ad}imer Plan");
    for (case, parts, want) in [
        ("ASCII", [ascii, "\r\nx"], vec![0]),
        ("others", [other, "\r\nx"], vec![1]),
        ("both", [ascii, other], vec![0, 1]),
        ("across two of ASCII", ["\r\ntop secret ", "\r\nplan"], vec![]),
        ("across one of each", ["\r\ntop secret ", "Content-Type: text/plain; charset=utf-8\r\n\r\nplan é"], vec![]),
    ] {
        let found = inspect(mixed(&parts));
        let mut numbers = found.find(&set);
        numbers.sort_unstable();
        assert_eq!(numbers, want, "{case}");
        let one_by_one: Vec<usize> = (0..2).filter(|n| found.body_contains(&phrases[*n])).collect();
        assert_eq!(one_by_one, want, "{case}");
    }
}

#[test]
fn subjects_of_messages_inside_are_bounded() {
    let inside = |subjects: &str| format!("Content-Type: message/rfc822\r\n\r\n{subjects}\r\nx");
    let long = Inspection::of(inside(&format!("Subject: {}\r\n", "x ".repeat(300))).into_bytes(), false, 100);
    assert!(long.is_incomplete() && long.body_contains(&keyword("x x")));
    let many = Inspection::of(inside(&"Subject: word\r\n".repeat(100)).into_bytes(), false, 100);
    assert!(many.is_incomplete() && many.body_contains(&keyword("word")) && many.clear.len() < 2);
}
