//! The scanner and its summary as a whole.

mod corpus;
mod grammar;
mod structure;

use mail_parser::{MessageParser, PartType};
use proptest::collection::vec;
use proptest::prelude::*;

use super::header;
use super::*;
use grammar::Shape;

fn scan(content: &[u8]) -> Summary {
    let mut scanner = Scanner::new();
    scanner.push(content);
    scanner.finish(b"")
}

/// Everything that holds for the summary of any octets.
fn check(content: &[u8], summary: &Summary) -> Result<(), String> {
    grammar::envelope(&summary.envelope)?;
    let body = grammar::body(&summary.body, false)?;
    let body_structure = grammar::body(&summary.body_structure, true)?;
    if body != body_structure || body != shape(&summary.root) {
        return Err(format!("{body:?} is not {body_structure:?} or not {:?}", summary.root));
    }
    let root = &summary.root;
    if root.header.0 != 0 || root.body.1 != content.len() as u64 {
        return Err(format!("not all is covered by {root:?}"));
    }
    inside(root)?;
    if Summary::decode(&summary.encode()).as_ref() != Some(summary) {
        return Err("not the same after encoding".into());
    }
    Ok(())
}

fn shape(part: &Part) -> Shape {
    let octets = part.body.1 - part.body.0;
    match &part.content {
        PartContent::Leaf => Shape::Leaf { octets },
        PartContent::Multipart(parts) => Shape::Multipart(parts.iter().map(shape).collect()),
        PartContent::Message(top) => Shape::Message { octets, top: Box::new(shape(top)) },
    }
}

/// Parts lie inside each other and one after the other.
fn inside(part: &Part) -> Result<(), String> {
    let children: Vec<&Part> = match &part.content {
        PartContent::Leaf => vec![],
        PartContent::Multipart(parts) => parts.iter().collect(),
        PartContent::Message(top) => vec![top],
    };
    if part.header.0 > part.header.1 || part.header.1 != part.body.0 || part.body.0 > part.body.1 {
        return Err(format!("out of order: {part:?}"));
    }
    let mut after = part.body.0;
    for child in &children {
        if child.header.0 < after || child.body.1 > part.body.1 {
            return Err(format!("{child:?} reaches out of {part:?}"));
        }
        after = child.body.1;
        inside(child)?;
    }
    Ok(())
}

/// Pieces that mean something to a scanner, and some that nearly do.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"\r\n--a\r\n",
        b"--a\r\n",
        b"--a--",
        b"\n--b \t\r\n",
        b"\r\n--b--\r\n",
        b"--ab\r\n",
        b"--",
        b"-",
        b"--a\r\nContent-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/global",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n",
        b"Content-Type: multipart/digest;\r\n\tboundary=\"b\"\r\n",
        b"Content-Type: multipart/alternative; boundary*0=a; boundary*1=b\r\n\r\n",
        b"Content-Type: multipart/x\r\n",
        b"Content-Type: text/html; charset=utf-8; name=\"a\\\"b\xff\0\"\r\n",
        b"Content-Type: text",
        b"Content-Type: a/b; =; c; d=\"",
        b"Content-Disposition: attachment; filename=x(y\r\n",
        b"Content-Disposition: ;\r\n",
        b"Content-Language: de, en-\xc3\xa4,,\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-ID: <\0\x80>\r\n",
        b"Content-MD5: x\r\nContent-Location:\r\n",
        b"From: A \"b\\",
        b"To: g: a@b, <c@d>; \xc3\xa4@x, <@r:e@f>, (c) ;:;,<,>\r\n",
        b"Cc: \"a\" <b\r\n",
        b"Subject: \xff \xc3\xa4 \"x\"\r\n y\r\n",
        b"Date:\r\nMessage-ID: \\\r\n",
    ];
    prop_oneof![
        6 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
        1 => "[ -~]{0,20}".prop_map(String::into_bytes),
    ]
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_summary_is_well_formed(content in octets()) {
        check(&content, &scan(&content)).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn every_split_gives_the_same_summary(content in octets(), sizes in vec(1usize..9, 1..20)) {
        let mut scanner = Scanner::new();
        let mut rest: &[u8] = &content;
        for size in sizes.iter().cycle() {
            let (head, tail) = rest.split_at((*size).min(rest.len()));
            scanner.push(head);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let mut whole = Scanner::new();
        whole.push(&content);
        prop_assert_eq!(scanner.header_complete(), whole.header_complete());
        prop_assert_eq!(scanner.finish(b"Received: x\r\n"), whole.finish(b"Received: x\r\n"));
    }

    /// A form is described as the message that it shows would be.
    #[test]
    fn a_form_has_the_summary_of_what_it_shows(content in octets(), text in "[ -~\u{e9}\u{5916}]{0,30}") {
        let content = [&content[..], b"\r\n"].concat();
        let mut scanner = Scanner::new();
        scanner.push(&content);
        let Some(new) = compose::prefixed_subject(&[&text], scanner.header()) else { return Ok(()) };
        let shown = match new.replaced {
            None => content.clone(),
            Some(span) => [&content[..span.from() as usize], &content[span.to() as usize..]].concat(),
        };
        let as_is = Front::new(b"Received: x\r\n".to_vec());
        let front = Front { prefix: [&b"Received: x\r\n"[..], &new.field].concat(), omitted: new.replaced };
        let forms = scanner.finish_forms(&[as_is.clone(), front.clone(), as_is]);
        let mut alone = Scanner::new();
        alone.push(&shown);
        prop_assert_eq!(&forms[1], &alone.finish(&front.prefix));
        let mut whole = Scanner::new();
        whole.push(&content);
        prop_assert_eq!(&forms[0], &whole.finish(b"Received: x\r\n"));
        prop_assert_eq!(&forms[0], &forms[2]);
        // The field is one field, and says what it should.
        let fields: Vec<_> = header::fields(&new.field).map(|f| (f.is(b"Subject"), f.raw.len())).collect();
        prop_assert_eq!(fields, vec![(true, new.field.len())]);
        prop_assert!(new.field.ends_with(b"\r\n"));
    }

    #[test]
    fn damaged_records_are_not_read_and_do_not_panic(content in octets(), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut record = scan(&content).encode();
        prop_assert_eq!(Summary::decode(&record[..at.index(record.len())]), None);
        let at = at.index(record.len());
        record[at] = octet;
        let _ = Summary::decode(&record);
        record.push(0);
        let _ = Summary::decode(&record);
    }

    #[test]
    fn helpers_take_any_octets(content in octets(), garbage in vec(any::<u8>(), 0..200)) {
        for block in [&content, &garbage] {
            let fields: Vec<&[u8]> = header::fields(block).map(|field| field.raw).collect();
            prop_assert!(block.starts_with(&fields.concat()));
            let _ = SentDate::parse(block);
            let _ = decode_text(block);
            let _ = Summary::decode(block);
            let (all, none) = (header::select_not(block, &[]), header::select(block, &[]));
            prop_assert!(all.ends_with(b"\r\n"));
            prop_assert_eq!(none, b"\r\n");
        }
        let summary = scan(&content);
        let text = SearchText { prefix: &garbage, content: &content, root: &summary.root };
        let needle = Needle::new("\u{10FFFF}no such thing");
        prop_assert!(!text.text_contains(&needle));
    }

    #[test]
    fn well_formed_messages_have_the_parts_they_were_made_of(tree in tree()) {
        let mut content = Vec::new();
        let mut bodies = Vec::new();
        tree.write(&mut content, &mut bodies, &mut 0);
        let summary = scan(&content);
        check(&content, &summary).map_err(TestCaseError::fail)?;
        let mut seen = Vec::new();
        leaves(&summary.root, &mut seen);
        prop_assert_eq!(&seen, &bodies);

        // mail-parser loses the boundary when a message is all there is in a message.
        if tree.has_message_in_message() {
            return Ok(());
        }
        let oracle = MessageParser::new().parse(&content).unwrap();
        let mut oracle_seen = Vec::new();
        oracle_leaves(&oracle, 0, &mut oracle_seen);
        prop_assert_eq!(&seen, &oracle_seen, "{}", String::from_utf8_lossy(&content));
    }
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(&'static str, String),
    Multipart(Vec<Tree>),
    Message(Box<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = (
        proptest::sample::select(vec!["text/plain", "text/html", "application/pdf"]),
        "([a-z -]{1,9}(\r\n)?){1,4}[a-z]",
    )
        .prop_map(|(kind, text)| Tree::Leaf(kind, text));
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(Tree::Multipart),
            inner.prop_map(|top| Tree::Message(Box::new(top))),
        ]
    })
}

impl Tree {
    fn has_message_in_message(&self) -> bool {
        match self {
            Self::Leaf(..) => false,
            Self::Multipart(parts) => parts.iter().any(Self::has_message_in_message),
            Self::Message(top) => matches!(**top, Self::Message(_)) || top.has_message_in_message(),
        }
    }

    /// Writes the part with its header and notes where the bodies of the leaves lie.
    fn write(&self, out: &mut Vec<u8>, bodies: &mut Vec<(u64, u64)>, count: &mut usize) {
        match self {
            Self::Leaf(kind, text) => {
                out.extend_from_slice(format!("Content-Type: {kind}\r\n\r\n").as_bytes());
                let start = out.len() as u64;
                out.extend_from_slice(text.as_bytes());
                bodies.push((start, out.len() as u64));
            }
            Self::Multipart(parts) => {
                *count += 1;
                let boundary = format!("=_{count}_boundary_{count}");
                out.extend_from_slice(
                    format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n").as_bytes(),
                );
                for part in parts {
                    out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                    part.write(out, bodies, count);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            }
            Self::Message(top) => {
                out.extend_from_slice(b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n");
                top.write(out, bodies, count);
            }
        }
    }
}

fn leaves(part: &Part, out: &mut Vec<(u64, u64)>) {
    match &part.content {
        PartContent::Leaf => out.push(part.body),
        PartContent::Multipart(parts) => parts.iter().for_each(|part| leaves(part, out)),
        PartContent::Message(top) => leaves(top, out),
    }
}

fn oracle_leaves(message: &mail_parser::Message<'_>, part: u32, out: &mut Vec<(u64, u64)>) {
    let part = &message.parts[part as usize];
    match &part.body {
        PartType::Multipart(parts) => parts.iter().for_each(|part| oracle_leaves(message, *part, out)),
        PartType::Message(inner) => oracle_leaves(inner, 0, out),
        _ => out.push((u64::from(part.offset_body), u64::from(part.offset_end))),
    }
}
