//! What a filter hears of a session, command by command, and what its answers do.

use posthouse::hooks::Said;
use posthouse::mail::{Address as Mailbox, EnhancedCode};

use super::filter::{Act, Filter, Script, packet};
use super::*;

/// With TLS and a login.
fn submission() -> Facts {
    let tls = Secured { version: "TLSv1.3".to_owned(), cipher: "TLS13_AES_256_GCM_SHA384".to_owned() };
    let login = Some(Mailbox::parse("alice@ext.test").unwrap());
    let mut facts = Facts { listener: "submission", tls: Some(tls), login, ..envelope(&["bob@corp.test"]) };
    if let Some(envelope) = &mut facts.envelope {
        envelope.recipients[0].parameters = vec!["NOTIFY=NEVER".to_owned()];
    }
    facts
}

#[tokio::test]
async fn everything_is_told_in_order() {
    for filter in [Filter::tcp(Script::new()), Filter::unix(Script::new())] {
        let mut session = session(filter.address.clone());
        let (last, answer) = ask(&mut session, &submission(), HEADER, BODY).await;
        assert_eq!((last, answer), (Question::Message, Ok(Answer::default())));
        session.close().await;
        let told = filter.told();
        let id =
            told.iter().find_map(|told| told.strip_prefix("DTi|")).expect("an id").trim_end_matches('|').to_owned();
        assert_eq!(id.len(), 20);
        let want = [
            "O|||\u{6}||\u{1}\u{ff}|\u{1f}\u{f7}\u{ff}",
            concat!(
                "DCj|mail.corp.test|_|[192.0.2.10]|v|Posthouse 0.1.0|{daemon_name}|submission|",
                "{daemon_addr}|192.0.2.25|{daemon_port}|25|{client_addr}|192.0.2.10|{client_name}|[192.0.2.10]|",
                "{client_port}|4321|"
            ),
            "C[192.0.2.10]|4\u{10}\u{e1}192.0.2.10|",
            "DH{tls_version}|TLSv1.3|{cipher}|TLS13_AES_256_GCM_SHA384|{cipher_bits}|256|",
            "Hmx.ext.test|",
            concat!(
                "DM{auth_type}|SASL|{auth_authen}|alice@ext.test|{mail_addr}|alice@ext.test|{mail_host}|ext.test|",
                "{mail_mailer}|esmtp|"
            ),
            "M<alice@ext.test>|SIZE=100|BODY=8BITMIME|",
            "DR{rcpt_addr}|bob@corp.test|{rcpt_host}|corp.test|{rcpt_mailer}|esmtp|",
            "R<bob@corp.test>|NOTIFY=NEVER|",
            &format!("DTi|{id}|"),
            "T",
            "LFrom|Alice <alice@ext.test>|",
            "LTo|bob@corp.test,\n\tcarol@corp.test|",
            "LSubject|hello|",
            &format!("DNi|{id}|"),
            "N",
            "BHello.\r\n\r\nBye.\r\n",
            &format!("DEi|{id}|"),
            "E",
            "Q",
        ];
        assert_eq!(told, want);
    }
}

#[tokio::test]
async fn without_tls_and_login_nothing_is_told_of_them() {
    let filter = Filter::unix(Script::new());
    let mut session = session(filter.address.clone());
    assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()));
    session.close().await;
    let told = filter.told().join("\n");
    for word in ["DH", "{tls_version}", "{cipher", "{auth_"] {
        assert!(!told.contains(word), "{word} in {told}");
    }
}

#[tokio::test]
async fn clients_and_paths_of_every_kind() {
    let filter = Filter::tcp(Script::new());
    let mut session = session(filter.address.clone());
    let mut facts = envelope(&["postmaster"]);
    facts.peer.client = "[2001:db8::25]:25".parse().unwrap();
    if let Some(envelope) = &mut facts.envelope {
        envelope.reverse_path = String::new();
        envelope.parameters = vec![];
    }
    assert_eq!(ask(&mut session, &facts, HEADER, BODY).await.1, Ok(Answer::default()));
    session.close().await;
    let told = filter.told();
    for want in [
        "C[IPv6:2001:db8::25]|6|\u{19}2001:db8::25|",
        "DM{mail_addr}||{mail_host}||{mail_mailer}|esmtp|",
        "M<>|",
        "DR{rcpt_addr}|postmaster|{rcpt_host}||{rcpt_mailer}|esmtp|",
        "R<postmaster>|",
    ] {
        assert!(told.iter().any(|told| told == want), "{want} in {told:#?}");
    }
    assert!(told[1].contains("{client_name}|[IPv6:2001:db8::25]|"));
    // An IPv4 address in the form of an IPv6 one is one of IPv4.
    let filter = Filter::tcp(Script::new());
    let mut session = Milter::new(settings(filter.address.clone())).session();
    facts.peer.client = "[::ffff:192.0.2.10]:25".parse().unwrap();
    assert_eq!(session.connect(&facts).await, Ok(Answer::default()));
    session.close().await;
    assert!(filter.told().contains(&"C[192.0.2.10]|4|\u{19}192.0.2.10|".to_owned()));
}

/// Where a filter can say something: question and command.
const PLACES: &[(Question, u8)] = &[
    (Question::Connect, b'C'),
    (Question::Hello, b'H'),
    (Question::Mail, b'M'),
    (Question::Rcpt, b'R'),
    (Question::Message, b'T'),
    (Question::Message, b'L'),
    (Question::Message, b'N'),
    (Question::Message, b'B'),
    (Question::Message, b'E'),
];

#[tokio::test]
async fn every_verdict_at_every_command() {
    let plain = |class| Said::new(class, None, None, "");
    let status = |class| Some(EnhancedCode::new(class, 7, 1));
    let said = |class, code, text| Said::new(class, Some(code), status(class), text);
    for (reply, payload, want) in [
        (b'a', &b""[..], Verdict::Stop),
        (b'r', b"", Verdict::Refuse(plain(5))),
        (b't', b"", Verdict::Defer(plain(4))),
        (b'd', b"", Verdict::Discard),
        (b'f', b"", Verdict::Defer(plain(4))),
        (b'4', b"", Verdict::Defer(plain(4))),
        (b'y', b"550 5.7.1 Spam\0", Verdict::Refuse(said(5, 550, "Spam"))),
        (b'y', b"554-5.7.1 No\r\n554 5.7.1 spam\0", Verdict::Refuse(said(5, 554, "No spam"))),
        (b'y', b"451 4.7.1 100%% later\0", Verdict::Defer(said(4, 451, "100% later"))),
    ] {
        for (question, code) in PLACES {
            let filter = Filter::unix(Script::new().say(*code, reply, payload));
            let mut session = session(filter.address.clone());
            let (last, answer) = ask_all(&mut session).await;
            let case = format!("{} at {}", char::from(reply), char::from(*code));
            assert_eq!(last, *question, "{case}");
            if reply == b'd' && *question < Question::Mail {
                // There is no message that could be discarded.
                assert!(matches!(answer, Err(Failure::Protocol(_))), "{case}: {answer:?}");
                continue;
            }
            assert_eq!(answer, Ok(verdict(want.clone())), "{case}");
            session.close().await;
            let told = filter.codes();
            // It is told nothing more of the message but that it is over.
            let ends: &[_] = match (&want, question) {
                (Verdict::Stop, _) => &[format!("{}Q", char::from(*code))],
                (_, Question::Message) if *code != b'E' => &[format!("{}AQ", char::from(*code))],
                _ => &[format!("{}Q", char::from(*code))],
            };
            assert!(ends.iter().any(|end| told.ends_with(end)), "{case}: {told}");
        }
    }
}

#[tokio::test]
async fn a_recipient_that_is_refused_is_one_of_many() {
    let acts = [Act::Say(packet(b'c', b"")), Act::Say(packet(b'r', b"")), Act::Say(packet(b'c', b""))];
    let filter = Filter::unix(Script::new().on(b'R', &acts));
    let mut session = session(filter.address.clone());
    let all = ["bob@corp.test", "eve@corp.test", "carol@corp.test"];
    session.connect(&facts()).await.unwrap();
    session.hello(&facts()).await.unwrap();
    session.mail(&envelope(&[])).await.unwrap();
    let mut answers = Vec::new();
    for upto in [&all[..1], &all[..2], &[all[0], all[2]]] {
        answers.push(session.rcpt(&envelope(upto)).await.unwrap().verdict);
    }
    assert_eq!(answers, [Verdict::Continue, Verdict::Refuse(Said::new(5, None, None, "")), Verdict::Continue]);
    let staging = staged(HEADER, BODY).await;
    let answer = session.message(&envelope(&[all[0], all[2]]), &content(HEADER, &staging)).await;
    assert_eq!(answer, Ok(Answer::default()));
    session.close().await;
    assert_eq!(filter.codes(), "OCHMRRRTLLLNBEQ");
}

#[tokio::test]
async fn who_has_accepted_the_session_hears_nothing_more_of_it() {
    for code in *b"CH" {
        let filter = Filter::tcp(Script::new().say(code, b'a', b""));
        let mut session = session(filter.address.clone());
        assert_eq!(ask_all(&mut session).await.1, Ok(verdict(Verdict::Stop)));
        // Already closed.
        assert!(filter.codes().ends_with(&format!("{}Q", char::from(code))));
        let staging = staged(HEADER, BODY).await;
        let (facts, content) = (envelope(&["bob@corp.test"]), content(HEADER, &staging));
        for answer in [
            session.hello(&facts).await,
            session.mail(&facts).await,
            session.rcpt(&facts).await,
            session.message(&facts, &content).await,
        ] {
            assert_eq!(answer, Ok(verdict(Verdict::Stop)));
        }
        assert_eq!(session.abort().await, Ok(()));
        session.close().await;
        assert_eq!(filter.connections(), 1);
    }
}

#[tokio::test]
async fn who_has_accepted_a_message_hears_of_the_next() {
    for (code, first) in
        [(b'M', "M"), (b'R', "MR"), (b'T', "MRT"), (b'L', "MRTL"), (b'N', "MRTLLLN"), (b'B', "MRTLLLNB")]
    {
        let acts = [Act::Say(packet(b'a', b"")), Act::Say(packet(b'c', b""))];
        let filter = Filter::unix(Script::new().on(code, &acts));
        let mut session = session(filter.address.clone());
        session.connect(&facts()).await.unwrap();
        session.hello(&facts()).await.unwrap();
        let staging = staged(HEADER, BODY).await;
        let (facts, content) = (envelope(&["bob@corp.test"]), content(HEADER, &staging));
        for want in [Verdict::Stop, Verdict::Continue] {
            let answers = [
                session.mail(&facts).await.unwrap().verdict,
                session.rcpt(&facts).await.unwrap().verdict,
                session.message(&facts, &content).await.unwrap().verdict,
            ];
            assert_eq!(answers.last(), Some(&want), "{}", char::from(code));
        }
        session.close().await;
        assert_eq!(filter.codes(), format!("OCH{first}MRTLLLNBEQ"));
    }
}

#[tokio::test]
async fn transactions_that_end_without_a_message() {
    let filter = Filter::unix(Script::new());
    let mut session = session(filter.address.clone());
    assert_eq!(session.abort().await, Ok(()), "nothing is open");
    session.connect(&facts()).await.unwrap();
    session.hello(&facts()).await.unwrap();
    session.abort().await.unwrap();
    session.mail(&envelope(&[])).await.unwrap();
    session.abort().await.unwrap();
    session.abort().await.unwrap();
    session.mail(&envelope(&[])).await.unwrap();
    // Another MAIL, after a second EHLO that nobody has called an end.
    session.hello(&facts()).await.unwrap();
    session.mail(&envelope(&[])).await.unwrap();
    let staging = staged(HEADER, b"").await;
    session.message(&envelope(&[]), &content(HEADER, &staging)).await.unwrap();
    session.abort().await.unwrap();
    session.close().await;
    assert_eq!(filter.codes(), "OCHMAMHAMTLLLNEQ");
}

#[tokio::test]
async fn a_session_that_hears_nothing_opens_nothing() {
    let filter = Filter::tcp(Script::new());
    let milter = Milter::new(settings(filter.address.clone()));
    milter.session().close().await;
    let mut heard = milter.session();
    heard.connect(&facts()).await.unwrap();
    heard.close().await;
    assert_eq!((milter.name(), filter.codes(), filter.connections()), ("test", "OCQ".to_owned(), 1));
}
