//! What the fuzzers run: each a plain function over octets that panics when something does not hold. `tests/fuzz.rs`
//! runs them over the corpus and mutations of it; `fuzz/` hands them to cargo-fuzz.

use posthouse::emailauth::DkimInput;
use posthouse::mail::{Address, MailboxName, ReversePath, Uid};
use posthouse::net::proxy_protocol;
use posthouse::policy::answer::{self, Decision};
use posthouse::proto::dane;
use posthouse::proto::imap::{self, Append, Frame, Framer, Limits, Recovery, SequenceSet, Tagged};
use posthouse::proto::message::downgrade::Planner;
use posthouse::proto::message::inspect::{self, Piece};
use posthouse::proto::message::{
    self, Front, Needle, Part, PartContent, Received, Scanner, SearchText, SentDate, Summary, compose, header,
};
use posthouse::proto::milter;
use posthouse::proto::mta_sts;
use posthouse::proto::sasl::{self, Mechanism, Negotiation, Verifier};
use posthouse::proto::smtp::client::{Capabilities, ContentWriter, RemoteReply, ReplyError, ReplyReader};
use posthouse::proto::smtp::{ChunkChecker, Command, DataDecoder, Reply, Syntax, XClient};
use posthouse::proto::tls_report;

#[path = "../it/grammar.rs"]
#[allow(dead_code, reason = "also read by the behaviour tests, which look at more of it")]
mod grammar;

/// A target with its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
#[allow(dead_code, reason = "cargo-fuzz names one target for each binary")]
pub const TARGETS: &[Target] = &[
    ("smtp_command", smtp_command),
    ("smtp_content", smtp_content),
    ("imap_stream", imap_stream),
    ("sequence_set", sequence_set),
    ("mailbox_name", mailbox_name),
    ("message", message),
    ("date", date),
    ("sasl", sasl),
    ("proxy_header", proxy_header),
    ("reply", reply),
    ("remote_reply", remote_reply),
    ("downgrade", downgrade),
    ("transport_policy", transport_policy),
    ("milter_packet", milter_packet),
];

/// Replies of other hosts: the same however they are split, bounded, and without control characters.
pub fn remote_reply(octets: &[u8]) {
    let whole = remote_replies(octets, usize::MAX);
    for size in [1, 7] {
        assert_eq!(whole, remote_replies(octets, size), "replies depend on the segments");
    }
    for reply in whole.iter().flatten() {
        assert!((2..=5).contains(&reply.class()) && reply.text().len() <= 2_048);
        assert!(reply.text().split('\n').all(|line| !line.contains(char::is_control)));
        assert!(matches!((reply.class(), reply.status().class()), (2 | 3, 2) | (4, 4) | (5, 5)));
        let offered = Capabilities::read(reply);
        assert!(offered.max_size != Some(0) && offered.mechanisms.len() <= 4);
    }
}

fn remote_replies(octets: &[u8], size: usize) -> Vec<Result<RemoteReply, ReplyError>> {
    let mut reader = ReplyReader::default();
    let mut all = Vec::new();
    for mut piece in octets.chunks(size.clamp(1, octets.len().max(1))) {
        while !piece.is_empty() {
            let (taken, reply) = reader.push(piece);
            assert!(taken > 0 && taken <= piece.len());
            piece = &piece[taken..];
            if let Some(reply) = reply.transpose() {
                let is_over = reply.is_err();
                all.push(reply);
                if is_over {
                    return all;
                }
            }
        }
    }
    all
}

/// Packets of milters: the same however they are split, and what is read is the same when it is written and read again.
pub fn milter_packet(octets: &[u8]) {
    let whole = milter_packets(octets, usize::MAX);
    for size in [1, 7] {
        assert_eq!(whole, milter_packets(octets, size), "packets depend on the segments");
    }
    // Whatever a packet carries, of every kind.
    let payload = octets.get(1..).unwrap_or_default();
    let all = octets.iter().take(1).map(|code| milter::Packet { code: *code, payload: payload.to_vec() });
    for packet in whole.iter().flatten().cloned().chain(all) {
        assert!(packet.payload.len() < milter::MAX_PACKET);
        if let Ok(command) = milter::Command::parse(&packet) {
            let again = milter_packets(&written(|out| command.encode(out)), usize::MAX);
            assert_eq!(again.len(), 1);
            assert_eq!(again[0].as_ref().map(milter::Command::parse), Ok(Ok(command)));
        }
        if let Ok(reply) = milter::Reply::parse(&packet) {
            let again = milter_packets(&written(|out| reply.encode(out)), usize::MAX);
            assert_eq!(again.len(), 1);
            assert_eq!(again[0].as_ref().map(milter::Reply::parse), Ok(Ok(reply)));
        }
        if let Some(reply) = milter::SmtpReply::parse(&packet.payload) {
            assert!((400..600).contains(&reply.code) && !reply.text.contains(char::is_control));
        }
    }
}

fn milter_packets(octets: &[u8], size: usize) -> Vec<Result<milter::Packet, milter::PacketError>> {
    let mut reader = milter::PacketReader::default();
    let mut all = Vec::new();
    for mut piece in octets.chunks(size.clamp(1, octets.len().max(1))) {
        while !piece.is_empty() {
            let (taken, packet) = reader.push(piece);
            assert!(taken > 0 && taken <= piece.len());
            piece = &piece[taken..];
            if let Some(packet) = packet.transpose() {
                let is_over = packet.is_err();
                all.push(packet);
                if is_over {
                    return all;
                }
            }
        }
    }
    all
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// Messages in another form: 7-bit in short lines, or untouched, however they are split.
pub fn downgrade(octets: &[u8]) {
    let root = scan(octets, usize::MAX).root;
    for takes_eight_bit in [false, true] {
        let plan = |size: usize| {
            let mut planner = Planner::new(&root, takes_eight_bit);
            octets.chunks(size.clamp(1, octets.len().max(1))).for_each(|piece| planner.push(piece));
            planner.finish()
        };
        let whole = plan(usize::MAX);
        assert_eq!(whole, plan(61), "the plan depends on the segments");
        let Ok(plan) = whole else { continue };
        let rewrite = |size: usize| {
            let (mut rewriter, mut out) = (plan.rewriter(), Vec::new());
            octets.chunks(size.clamp(1, octets.len().max(1))).for_each(|piece| rewriter.push(piece, &mut out));
            rewriter.finish(&mut out);
            out
        };
        let out = rewrite(usize::MAX);
        assert_eq!(out, rewrite(61), "the form depends on the segments");
        assert!(takes_eight_bit || out.is_ascii());
        let (mut writer, mut wire) = (ContentWriter::chunks(), Vec::new());
        writer.push(&out, &mut wire);
        writer.finish(&mut wire);
        assert!(wire.split(|octet| *octet == b'\n').all(|line| line.len() <= 999), "a line is too long");
        let is_short = octets.split(|octet| *octet == b'\n').all(|line| line.len() <= 998);
        assert!(!(takes_eight_bit && is_short) || out == octets, "changed without need");
    }
}

/// What domains publish of TLS: the records of MTA-STS and TLSRPT, policies, TLSA records and certificates. What is read
/// is the same when it is written and read again.
pub fn transport_policy(octets: &[u8]) {
    if let Ok(policy) = mta_sts::Policy::parse(octets) {
        let lines = policy.lines().join("\r\n");
        assert_eq!(mta_sts::Policy::parse(lines.as_bytes()).as_ref(), Ok(&policy), "{lines}");
        assert!(policy.mx.len() <= 100 && !policy.matches(""));
    }
    let records: Vec<Vec<u8>> = octets.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    for records in [&records[..], &[octets.to_vec()]] {
        if let Some(id) = mta_sts::record_id(records) {
            assert!((1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id:?}");
        }
        let places = tls_report::places(records);
        assert!(places.len() <= 5);
        for place in places {
            match place {
                tls_report::Place::Mail(address) => round_trip(&address),
                tls_report::Place::Https(url) => assert!(url.bytes().all(|b| b.is_ascii_graphic()), "{url:?}"),
            }
        }
    }
    if let Some(parts) = dane::Certificate::parse(octets) {
        assert!(dane::sequence_content(parts.public_key).is_some() && dane::sequence_content(parts.issuer).is_some());
    }
    if let [usage, selector, matching, data @ ..] = octets
        && let Some(record) = dane::Tlsa::new(usage % 5, selector % 3, matching % 4, data.to_vec())
    {
        assert!(record.to_string().len() < 200);
        record.matches(data);
    }
}

/// Answers by mail to questions of the server: what they decide is the same each time, and their text is one line.
pub fn reply(octets: &[u8]) {
    let pieces = inspect::pieces(octets);
    assert_eq!(pieces, inspect::pieces(octets));
    for piece in pieces.iter().flatten() {
        if let Piece::Line(line) | Piece::Introduction(line) = piece {
            assert!(!line.is_empty() && line.trim() == line && !line.contains(['\r', '\n', '\0']), "{line:?}");
        }
    }
    let decided = answer::decision(octets, pieces.as_deref());
    if let Ok(Decision::Refuse(text)) = &decided {
        assert!(!text.chars().any(char::is_control) && text.chars().count() <= 1000, "{text:?}");
    }
    if answer::is_automatic(octets) {
        assert!(decided.is_err() && answer::consent(octets, pieces.as_deref()).is_err());
    }
    // What is quoted decides nothing.
    let quoted = octets.split_inclusive(|b| *b == b'\n').flat_map(|line| [b"> ", line].concat());
    let quoted: Vec<u8> = b"Subject: x\r\n\r\n".iter().copied().chain(quoted).collect();
    assert!(answer::decision(b"", inspect::pieces(&quoted).as_deref()).is_err(), "a quotation decides");
}

/// SMTP commands and replies, line by line.
pub fn smtp_command(octets: &[u8]) {
    for line in octets.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        for syntax in [Syntax::Strict, Syntax::Lenient] {
            match Command::parse(line, syntax) {
                Ok(Command::Mail(mail)) => {
                    if let ReversePath::Address(address) = &mail.reverse_path {
                        round_trip(address);
                    }
                }
                Ok(Command::XClient(argument)) => drop(XClient::parse(&argument)),
                // What is strict is also lenient.
                Err(_) if syntax == Syntax::Lenient => assert!(Command::parse(line, Syntax::Strict).is_err()),
                _ => {}
            }
        }
        if let Some(reply) = Reply::parse(line) {
            let mut out = Vec::new();
            reply.encode(&mut out);
            assert!(out.ends_with(b"\r\n"));
            let again = Reply::parse(&out).expect("our own reply");
            assert_eq!(again.code(), reply.code());
        }
    }
}

/// What DKIM needs of a message that comes in pieces of that size.
fn for_dkim(octets: &[u8], size: usize) -> String {
    let mut input = DkimInput::new();
    octets.chunks(size).for_each(|piece| input.push(piece));
    format!("{:?}", input.finish())
}

fn round_trip(address: &Address) {
    let text = address.to_string();
    assert!(!text.contains(['\r', '\n', '\0']), "{text:?}");
    assert_eq!(&Address::parse(&text).expect("our own address"), address);
}

/// The stream after DATA and the chunks of BDAT: the same result however it is split.
pub fn smtp_content(octets: &[u8]) {
    let decode = |sizes: &mut dyn Iterator<Item = usize>| {
        let mut decoder = DataDecoder::new();
        let mut out = Vec::new();
        let mut rest = octets;
        let mut consumed = 0;
        while !rest.is_empty() {
            let n = sizes.next().unwrap_or(1).clamp(1, rest.len());
            let step = decoder.decode(&rest[..n], &mut out);
            consumed += step.consumed;
            rest = &rest[step.consumed..];
            if step.complete {
                return (out, consumed, true, decoder.defect());
            }
            assert_eq!(step.consumed, n, "octets left without an end");
        }
        (out, consumed, false, decoder.defect())
    };
    let whole = decode(&mut std::iter::repeat(usize::MAX));
    let single = decode(&mut std::iter::repeat(1));
    let mixed = decode(&mut octets.iter().map(|b| usize::from(*b) + 1));
    assert_eq!(whole.1, single.1, "where the data ends depends on the segments");
    assert_eq!(whole.1, mixed.1, "where the data ends depends on the segments");
    assert_eq!(whole.3.is_some(), single.3.is_some());
    assert_eq!(whole.3.is_some(), mixed.3.is_some());
    if whole.3.is_none() {
        assert_eq!(whole.0, single.0);
        assert_eq!(whole.0, mixed.0);
        assert!(whole.0.len() <= octets.len());
        assert!(!has_bare_line_end(&whole.0, whole.2), "a bare CR or LF came through");
    }

    let mut at_once = ChunkChecker::new();
    at_once.push(octets);
    let mut by_octet = ChunkChecker::new();
    for octet in octets {
        by_octet.push(&[*octet]);
    }
    assert_eq!(at_once.finish().is_some(), by_octet.finish().is_some());
    assert_eq!(at_once.finish().is_some(), has_bare_line_end(octets, true) || octets.contains(&0));

    // Dot-stuffing inverts.
    if !has_bare_line_end(octets, true) && !octets.contains(&0) && (octets.is_empty() || octets.ends_with(b"\r\n")) {
        let mut stuffed = Vec::new();
        for line in octets.split_inclusive(|b| *b == b'\n') {
            if line.first() == Some(&b'.') {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.extend_from_slice(b".\r\nNOOP\r\n");
        let mut out = Vec::new();
        let step = DataDecoder::new().decode(&stuffed, &mut out);
        assert!(step.complete);
        assert_eq!(step.consumed, stuffed.len() - 6);
        assert_eq!(out, octets);
    }
}

fn has_bare_line_end(octets: &[u8], complete: bool) -> bool {
    octets.iter().enumerate().any(|(n, octet)| match octet {
        b'\n' => n == 0 || octets[n - 1] != b'\r',
        b'\r' => match octets.get(n + 1) {
            Some(next) => *next != b'\n',
            None => complete,
        },
        _ => false,
    })
}

/// IMAP framing and commands: the same frames however the stream is split.
pub fn imap_stream(octets: &[u8]) {
    let whole = frames(octets, usize::MAX);
    for size in [1, 7] {
        assert_eq!(whole, frames(octets, size), "frames depend on the segments");
    }
    for frame in whole {
        match frame {
            Frame::Command(command) => {
                assert!(command.len() <= Limits::AUTHENTICATED.total + Limits::AUTHENTICATED.line);
                if let Ok(tagged) = Tagged::parse(&command) {
                    let _ = format!("{:?}", tagged.command);
                }
            }
            Frame::Append { octets, .. } => {
                let _ = Append::parse(&octets);
            }
            Frame::Line(line) => {
                imap::is_done(&line);
            }
            _ => {}
        }
    }
}

fn frames(octets: &[u8], size: usize) -> Vec<Frame> {
    let mut framer = Framer::new(Limits::AUTHENTICATED);
    let mut all = Vec::new();
    let mut buffered: Vec<u8> = Vec::new();
    let mut message_left = 0_u64;
    let mut pieces = octets.chunks(size.clamp(1, octets.len().max(1)));
    loop {
        if message_left > 0 {
            // The octets of APPEND's message are not for the framer.
            let n = usize::try_from(message_left).unwrap_or(usize::MAX).min(buffered.len());
            buffered.drain(..n);
            message_left -= n as u64;
        }
        if message_left == 0 {
            let (taken, frame) = framer.command(&buffered);
            assert!(taken <= buffered.len());
            buffered.drain(..taken);
            match frame {
                Frame::More => {}
                Frame::Append { octets, literal } => {
                    message_left = literal.size;
                    all.push(Frame::Append { octets, literal });
                    continue;
                }
                Frame::Refused(refused) => {
                    let close = refused.recovery == Recovery::Close;
                    all.push(Frame::Refused(refused));
                    if close {
                        return all;
                    }
                    continue;
                }
                other => {
                    all.push(other);
                    continue;
                }
            }
        }
        match pieces.next() {
            Some(piece) => buffered.extend_from_slice(piece),
            None => return all,
        }
    }
}

/// Sequence sets.
pub fn sequence_set(octets: &[u8]) {
    let Some(set) = SequenceSet::parse(octets) else { return };
    let text = set.to_string();
    assert_eq!(SequenceSet::parse(text.as_bytes()).expect("our own set"), set);
    for exists in [0, 1, 7, u32::MAX] {
        for (first, last) in set.numbers(exists) {
            assert!(1 <= first && first <= last && last <= exists, "{first}:{last} of {exists}");
        }
        set.exceeds(exists);
    }
    set.uids(None);
    set.uids(Uid::new(77));
}

/// Mailbox names in modified UTF-7.
pub fn mailbox_name(octets: &[u8]) {
    if let Ok(text) = imap::decode_mutf7(octets) {
        // Other forms of a name are taken; the one that RFC 3501 §5.1.3 allows is given.
        let given = imap::encode_mutf7(&text);
        assert!(given.len() <= octets.len(), "{given} is not the shortest");
        assert_eq!(imap::decode_mutf7(given.as_bytes()), Ok(text));
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let encoded = imap::encode_mutf7(text);
    assert!(encoded.is_ascii());
    assert_eq!(imap::decode_mutf7(encoded.as_bytes()).as_deref(), Ok(text));
    if let Ok(name) = MailboxName::parse(text) {
        assert_eq!(MailboxName::parse(&name.to_string()).as_ref(), Ok(&name));
        assert_eq!(name.is_inbox(), text.eq_ignore_ascii_case("inbox"));
        for superior in name.superiors() {
            assert!(name.is_inferior_of(&superior));
        }
    }
}

/// Header, MIME structure, encoded words, text for SEARCH.
pub fn message(octets: &[u8]) {
    let summary = scan(octets, usize::MAX);
    assert_eq!(summary, scan(octets, 1), "the summary depends on the segments");
    assert_eq!(summary, scan(octets, 61), "the summary depends on the segments");
    assert_eq!(Summary::decode(&summary.encode()).as_ref(), Some(&summary));
    within(&summary.root, 0, octets.len() as u64, 0);
    for (item, value) in
        [("ENVELOPE", &summary.envelope), ("BODY", &summary.body), ("BODYSTRUCTURE", &summary.body_structure)]
    {
        let mut response = format!("* 1 FETCH ({item} ").into_bytes();
        response.extend_from_slice(value);
        response.push(b')');
        if let Err(problem) = grammar::parse_fetch(&response) {
            panic!("{problem}: {}", response.escape_ascii());
        }
    }
    // A damaged record is found out, or is another record; never a panic.
    let mut record = summary.encode();
    if let Some(last) = record.len().checked_sub(1) {
        let at = octets.len() % (last + 1);
        record[at] ^= 0x41;
        let _ = Summary::decode(&record);
        record.truncate(at);
        let _ = Summary::decode(&record);
    }
    let _ = Received::parse(octets);
    let fields: usize = header::fields(octets).map(|f| f.raw.len()).sum();
    assert!(fields <= octets.len());
    header::count(octets, "Received");
    header::select(octets, &[b"subject", b"from"]);
    for read in [message::header_from, message::sender_addresses, message::to_cc_addresses] {
        read(octets).addresses.iter().for_each(round_trip);
    }
    assert_eq!(for_dkim(octets, usize::MAX), for_dkim(octets, 7), "what DKIM sees depends on the segments");
    header::select_not(octets, &[b"subject", b"from"]);
    for field in header::fields(octets).take(50) {
        message::decode_text(&field.value());
        SentDate::parse(field.raw_value());
    }
    subject(octets);
    let text = SearchText { prefix: b"", content: octets, root: &summary.root };
    let needle = Needle::new("a\u{df}");
    text.body_contains(&needle);
    text.text_contains(&needle);
    needle.matches_field(octets, "Subject");
}

/// A message with a text in front of its subject: described as the message that its reader sees, and read as that.
fn subject(octets: &[u8]) {
    // Content that comes by SMTP ends its lines.
    let content = [octets, b"\r\n"].concat();
    let mut scanner = Scanner::new();
    scanner.push(&content);
    let Some(new) = compose::prefixed_subject(&["[EXT]", "\u{5916}"], scanner.header()) else { return };
    assert_eq!(header::fields(&new.field).map(|f| f.raw.len()).collect::<Vec<_>>(), [new.field.len()]);
    let front = Front { prefix: new.field, omitted: new.replaced };
    let summary = scanner.finish_forms(std::slice::from_ref(&front)).remove(0);
    let omitted = front.omitted.map_or((0, 0), |span| (span.from() as usize, span.to() as usize));
    let shown = [&content[..omitted.0], &content[omitted.1..]].concat();
    let mut alone = Scanner::new();
    alone.push(&shown);
    assert_eq!(summary, alone.finish(&front.prefix));
    if let Some(span) = front.omitted {
        let [before, behind] = span.around(3, 40).map(|(from, to)| {
            let at = |n: u64| content.len().min(n as usize);
            &content[at(from)..at(to)]
        });
        assert_eq!([before, behind].concat(), shown[shown.len().min(3)..shown.len().min(40)]);
    }
}

fn scan(octets: &[u8], size: usize) -> Summary {
    let mut scanner = Scanner::new();
    for piece in octets.chunks(size.clamp(1, octets.len().max(1))) {
        scanner.push(piece);
    }
    scanner.finish(b"")
}

fn within(part: &Part, from: u64, to: u64, depth: usize) {
    assert!(depth < 1000, "nested without bound");
    assert!(from <= part.header.0 && part.header.0 <= part.header.1, "{part:?}");
    assert!(
        part.header.1 <= part.body.0 && part.body.0 <= part.body.1 && part.body.1 <= to,
        "{part:?} in {from}..{to}"
    );
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => {
            assert!(!parts.is_empty());
            for inner in parts {
                within(inner, part.body.0, part.body.1, depth + 1);
            }
        }
        PartContent::Message(inner) => within(inner, part.body.0, part.body.1, depth + 1),
    }
}

/// Dates of IMAP and of RFC 5322.
pub fn date(octets: &[u8]) {
    if let Some(time) = imap::parse_date_time(octets) {
        let text = imap::format_date_time(time);
        assert_eq!(imap::parse_date_time(text.trim_matches('"').as_bytes()), Some(time), "{text}");
    }
    if let Some(day) = imap::Date::parse(octets) {
        assert_eq!(imap::Date::parse(day.to_string().as_bytes()), Some(day));
    }
    if let Some(sent) = SentDate::parse(octets) {
        let text = message::format_date(sent.at);
        // Years beyond four digits are not written back.
        if let Some(again) = SentDate::parse(text.as_bytes()) {
            assert_eq!(again.at.seconds(), sent.at.seconds(), "{text}");
        }
    }
}

/// SASL: every mechanism, the input's lines as the client's messages.
pub fn sasl(octets: &[u8]) {
    let mut lines = octets.split(|b| *b == b'\n');
    let first = lines.next().unwrap_or_default();
    let _ = sasl::decode_initial(first);
    let _ = sasl::Answer::parse(first);
    let _ = Mechanism::parse(first);
    let _ = std::str::from_utf8(first).map(sasl::saslprep);
    let rest: Vec<&[u8]> = lines.collect();
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::ScramSha256Plus] {
        for exporter in [None, Some([7; 32])] {
            for initial in [None, Some(first)] {
                let (mut negotiation, mut step) = Negotiation::start(mechanism, initial, exporter, [9; 18]);
                let answers = if initial.is_some() { &rest[..] } else { &[&[first], &rest[..]].concat()[..] };
                for answer in answers.iter().take(10) {
                    step = match step {
                        Ok(sasl::Step::Challenge(_)) => negotiation.respond(answer),
                        Ok(sasl::Step::Verifier { .. }) => {
                            negotiation.verifier(Verifier::from_salted_password(&[3; 32], b"salt".to_vec(), 4096))
                        }
                        other => {
                            // Without the password nothing is proved.
                            assert!(!matches!(other, Ok(sasl::Step::Proved { .. })));
                            break;
                        }
                    };
                }
            }
        }
    }
}

/// The PROXY protocol's header.
pub fn proxy_header(octets: &[u8]) {
    if let Ok(Some((header, length))) = proxy_protocol::parse(octets) {
        assert!(length <= octets.len());
        assert_eq!(proxy_protocol::parse(&octets[..length]), Ok(Some((header, length))));
        for end in 0..length {
            assert_eq!(proxy_protocol::parse(&octets[..end]), Ok(None), "whole before its end");
        }
    }
}
