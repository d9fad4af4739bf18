//! The octets of a message as hosts take them: CHUNKING, large ones, 8 bits, SMTPUTF8, SIZE.

use super::remote::{Act, Remote, Script};
use super::*;

fn failed(status: &str) -> (End, Scope, String) {
    (End::Failed, Scope::Message, status.to_owned())
}

/// 700 KB in lines, so that it is read in three pieces.
fn large() -> Vec<u8> {
    let line = format!(".{}\r\n", "x".repeat(97));
    [b"Subject: large\r\n\r\n".to_vec(), line.repeat(7_000).into_bytes()].concat()
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(content.to_vec()).unwrap().replace("\r\n.", "\r\n..");
    format!("Received: from here\r\n{text}").into_bytes()
}

#[tokio::test]
async fn large_messages_go_in_pieces() {
    let content = large();
    let remote = Remote::start(Script::default()).await;
    let world = World::with(&remote).await;
    assert_eq!(world.send(&["bob@far.test"], &content).await[0].end, End::Relayed);
    assert!(remote.contents() == [stuffed(&content)], "by DATA");

    for offers in [&["CHUNKING"][..], &["CHUNKING", "PIPELINING"]] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        assert_eq!(world.send(&["bob@far.test"], &content).await[0].end, End::Relayed);
        assert!(remote.contents().concat() == [b"Received: from here\r\n", &content[..]].concat(), "by BDAT");
        let verbs: Vec<String> = remote.lines().iter().map(|l| l[..4].to_owned() + &l[l.len() - 4..]).collect();
        let bdat = verbs.iter().filter(|verb| verb.starts_with("BDAT")).count();
        assert_eq!((bdat, verbs[verbs.len() - 2].as_str()), (3, "BDATLAST"), "{verbs:?}");
    }
}

#[tokio::test]
async fn small_messages_go_in_one_chunk_and_to_nobody_none() {
    let script = Script::offering(&["CHUNKING", "PIPELINING"]).on("RCPT TO:<bob", &[Act::Say("550 5.1.1 who?")]);
    let remote = Remote::start(script).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&["bob@far.test", "carol@far.test"], MESSAGE).await;
    assert_eq!((outcomes[0].end, outcomes[1].end), (End::Failed, End::Relayed));
    let mail = "MAIL FROM:<alice@corp.test>|RCPT TO:<bob@far.test>";
    assert_eq!(remote.transactions(), format!("{mail}|RCPT TO:<carol@far.test>|BDAT 83 LAST"));
    assert_eq!(remote.contents(), [[b"Received: from here\r\n", MESSAGE].concat()]);
    assert_eq!(world.send(&["bob@far.test"], MESSAGE).await[0].end, End::Failed);
    assert!(remote.transactions().ends_with(&format!("LAST|{mail}")), "{}", remote.transactions());
}

#[tokio::test]
async fn a_chunk_that_is_refused_ends_the_transaction_only() {
    for offers in [&["CHUNKING"][..], &["CHUNKING", "PIPELINING"]] {
        let acts = [Act::Say("552 5.3.4 too much"), Act::Say("503 5.5.1 no more")];
        let remote = Remote::start(Script::offering(offers).on("BDAT", &acts).on("LAST", &[Act::Say("250 ok")])).await;
        let world = World::with(&remote).await;
        let bob = to(&["bob@far.test"]);
        let (first, second) = (world.message(&large()).await, world.message(MESSAGE).await);
        let mut session = world.session(&far()).await.unwrap();
        let outcomes = session.send(&world.store, &outgoing(&bob, &first), whenever()).await;
        assert_eq!(brief(&outcomes[0]), failed("5.3.4"));
        let outcomes = session.send(&world.store, &outgoing(&bob, &second), whenever()).await;
        assert_eq!(outcomes[0].end, End::Relayed);
        assert!(remote.transactions().contains("|RSET|MAIL"), "{}", remote.transactions());
    }
}

#[tokio::test]
async fn what_is_known_to_be_too_large_is_not_sent() {
    let remote = Remote::start(Script::offering(&["SIZE 82"])).await;
    let world = World::with(&remote).await;
    assert_eq!(brief(&world.send(&["bob@far.test"], MESSAGE).await[0]), failed("5.3.4"));
    assert_eq!(remote.transactions(), "");
}

#[tokio::test]
async fn eight_bit_content_takes_the_form_that_the_host_takes() {
    let text = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
    let content = format!("{text}Gr\u{fc}\u{df}e aus Basel\r\n");
    let encoding = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    let quoted = format!("{}{encoding}Gr=C3=BC=C3=9Fe aus Basel\r\n", text.strip_suffix("\r\n").unwrap());
    let long = format!("{text}{}\r\n", "x".repeat(1_200));
    for (case, offers, content, mail, want) in [
        ("offered", &["8BITMIME"][..], &content, " BODY=8BITMIME", Some(content.as_str())),
        ("not offered", &[], &content, "", Some(quoted.as_str())),
        ("long lines", &["8BITMIME"], &long, "", None),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        assert_eq!(world.send(&["bob@far.test"], content.as_bytes()).await[0].end, End::Relayed, "{case}");
        let got = String::from_utf8(remote.contents().remove(0)).unwrap();
        let got = got.strip_prefix("Received: from here\r\n").unwrap();
        match want {
            Some(want) => assert_eq!(got, want, "{case}"),
            None => {
                assert!(got.lines().all(|line| line.len() <= 76), "{case}: {got}");
                assert_eq!(
                    got.split_once(encoding).unwrap().1.replace("=\r\n", ""),
                    format!("{}\r\n", "x".repeat(1_200))
                );
            }
        }
        assert!(remote.transactions().starts_with(&format!("MAIL FROM:<alice@corp.test>{mail}|")), "{case}");
    }
}

#[tokio::test]
async fn large_eight_bit_content_is_changed_on_its_way() {
    let head = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";
    let body = format!("Gr\u{fc}\u{df}e und {}\r\n", "x".repeat(40)).repeat(10_000);
    let remote = Remote::start(Script::default()).await;
    let world = World::with(&remote).await;
    assert_eq!(world.send(&["bob@far.test"], format!("{head}\r\n{body}").as_bytes()).await[0].end, End::Relayed);
    let got = String::from_utf8(remote.contents().remove(0)).unwrap();
    let quoted = body.replace('\u{fc}', "=C3=BC").replace('\u{df}', "=C3=9F");
    let want = format!("Received: from here\r\n{head}Content-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}");
    assert!(got == want);
}

#[tokio::test]
async fn what_has_no_form_that_the_host_takes_fails() {
    let mime = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\u{e4}\r\n--b--\r\n";
    for (case, offers, content, status) in [
        ("signed", &[][..], mime.to_owned(), "5.6.3"),
        ("header beyond ASCII", &["8BITMIME"], "Subject: \u{e4}\r\n\r\na\r\n".to_owned(), "5.6.7"),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        let outcomes = world.send(&["bob@far.test"], content.as_bytes()).await;
        assert_eq!(brief(&outcomes[0]), failed(status), "{case}");
        assert_eq!(remote.transactions(), "", "{case}");
    }
}

#[tokio::test]
async fn long_lines_go_as_they_are_where_that_is_better() {
    let long = "x".repeat(1_200);
    let (text, signed) = (format!("MIME-Version: 1.0\r\n\r\n{long}\r\n"), "DKIM-Signature: v=1\r\n");
    let mime = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b--\r\n"
    );
    for (case, offers, content, is_kept) in [
        ("a header", &[][..], format!("Subject: {long}\r\n\r\na\r\n"), true),
        ("a body", &["8BITMIME"], text.clone(), false),
        ("by CHUNKING", &["CHUNKING"], text.clone(), true),
        ("signed", &["8BITMIME"], format!("{signed}{text}"), true),
        ("signed, to a host that takes 7 bits", &[], format!("{signed}{text}"), false),
        ("no other form", &[], mime, true),
    ] {
        let remote = Remote::start(Script::offering(offers)).await;
        let world = World::with(&remote).await;
        assert_eq!(world.send(&["bob@far.test"], content.as_bytes()).await[0].end, End::Relayed, "{case}");
        let got = String::from_utf8(remote.contents().remove(0)).unwrap();
        assert_eq!(got == format!("Received: from here\r\n{content}"), is_kept, "{case}: {got}");
        assert!(is_kept || got.contains("quoted-printable"), "{case}: {got}");
    }
    // What the host says counts.
    let remote = Remote::start(Script::default().on("content", &[Act::Say("550 5.6.0 line too long")])).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&["bob@far.test"], format!("Subject: {long}\r\n\r\na\r\n").as_bytes()).await;
    assert_eq!((brief(&outcomes[0]), outcomes[0].is_reply), (failed("5.6.0"), true));
}

#[tokio::test]
async fn addresses_beyond_ascii_need_smtputf8() {
    let recipients = ["bob@far.test", "j\u{fc}rgen@far.test"];
    let remote = Remote::start(Script::offering(&["8BITMIME"])).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&recipients, MESSAGE).await;
    assert_eq!((outcomes[0].end, brief(&outcomes[1])), (End::Relayed, failed("5.6.7")));
    assert!(!remote.transactions().contains("rgen"));

    let remote = Remote::start(Script::offering(&["8BITMIME", "SMTPUTF8"])).await;
    let world = World::with(&remote).await;
    let outcomes = world.send(&recipients, MESSAGE).await;
    assert_eq!((outcomes[0].end, outcomes[1].end), (End::Relayed, End::Relayed));
    assert!(remote.transactions().starts_with("MAIL FROM:<alice@corp.test> SMTPUTF8|"), "{}", remote.transactions());
}
