//! What is agreed on: steps that are left out, replies that are not given, macros, and what is refused.

use super::filter::{Filter, Script, packet};
use super::*;

#[tokio::test]
async fn a_filter_hears_what_it_wants_to_hear() {
    for (steps, left) in [
        (0x1, "OHMRTLLLNBEQ"),
        (0x2, "OCMRTLLLNBEQ"),
        (0x4, "OCHRTLLLNBEQ"),
        (0x8, "OCHMTLLLNBEQ"),
        (0x10, "OCHMRTLLLNEQ"),
        (0x20, "OCHMRTNBEQ"),
        (0x40, "OCHMRTLLLBEQ"),
        (0x100, "OCHMRTLLLNBEQ"),
        (0x200, "OCHMRLLLNBEQ"),
        (0x37f, "OEQ"),
    ] {
        let filter = Filter::unix(Script::new().steps(steps));
        let mut session = session(filter.address.clone());
        assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()), "{steps:#x}");
        session.close().await;
        assert_eq!(filter.codes(), left, "{steps:#x}");
        let told = filter.told();
        let lone = told.windows(2).find(|pair| pair[0].starts_with('D') && pair[1].starts_with('D'));
        assert_eq!(lone, None, "macros of a command that is left out");
    }
}

#[tokio::test]
async fn a_filter_need_not_reply() {
    for steps in [0x80, 0x1000, 0x2000, 0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0xf_f080] {
        let filter = Filter::tcp(Script::new().steps(steps));
        let mut session = session(filter.address.clone());
        assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()), "{steps:#x}");
        session.close().await;
        assert_eq!(filter.codes(), "OCHMRTLLLNBEQ", "{steps:#x}");
    }
}

#[tokio::test]
async fn old_versions_know_less() {
    for (version, codes) in [(2, "OCHMRLLLNBEQ"), (3, "OCHMRLLLNBEQ"), (4, "OCHMRTLLLNBEQ"), (6, "OCHMRTLLLNBEQ")] {
        let filter = Filter::unix(Script::new().version(version));
        let mut session = session(filter.address.clone());
        assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()), "{version}");
        session.close().await;
        assert_eq!(filter.codes(), codes, "{version}");
    }
}

/// The macros that were told, in order.
fn macros(filter: &Filter) -> Vec<String> {
    filter.told().into_iter().filter(|told| told.starts_with('D')).collect()
}

#[tokio::test]
async fn a_filter_gets_the_macros_that_it_asks_for() {
    let script = Script::new()
        .macros(0, "j {daemon_name},{client_addr} {unknown} {mail_addr}")
        .macros(1, "")
        .macros(2, "{client_port} mail_host")
        .macros(3, "{rcpt_addr}")
        .macros(4, "v")
        .macros(5, "{mail_addr}, {rcpt_addr} j")
        .macros(6, "{daemon_port}");
    let filter = Filter::unix(script);
    let mut asking = session(filter.address.clone());
    let (asked, answer) = ask_all(&mut asking).await;
    assert_eq!((asked, answer), (Question::Message, Ok(Answer::default())));
    asking.close().await;
    let want = [
        // What is not known, or not yet, is not told; here the envelope is known from the start.
        "DCj|mail.corp.test|{daemon_name}|relay|{client_addr}|192.0.2.10|{mail_addr}|alice@ext.test|",
        "DM{client_port}|4321|{mail_host}|ext.test|",
        "DR{rcpt_addr}|bob@corp.test|",
        "DTv|Posthouse 0.1.0|",
        "DN{daemon_port}|25|",
        "DE{mail_addr}|alice@ext.test|{rcpt_addr}|bob@corp.test|j|mail.corp.test|",
    ];
    assert_eq!(macros(&filter), want);
    // Said in a packet of its own before the options.
    let list = packet(b'l', b"\0\0\0\0j\0\0\0\0\x02{mail_addr}\0");
    let options = packet(b'O', b"\0\0\0\x06\0\0\x01\xff\0\0\0\0");
    let filter = Filter::unix(Script::new().on(b'O', &[filter::Act::Say([list, options].concat())]));
    let mut asking = session(filter.address.clone());
    assert_eq!(ask_all(&mut asking).await.1, Ok(Answer::default()));
    asking.close().await;
    assert_eq!(macros(&filter)[..2], ["DCj|mail.corp.test|", "DM{mail_addr}|alice@ext.test|"]);
}

#[tokio::test]
async fn settings_say_which_macros_are_told_unless_the_filter_asks_for_others() {
    for (case, script, settings, want) in [
        (
            "instead of the usual ones",
            Script::new(),
            &[("connect", &["j", "{daemon_name}"][..]), ("mail", &["{mail_host}"]), ("rcpt", &[])][..],
            &["DCj|mail.corp.test|{daemon_name}|relay|", "DM{mail_host}|ext.test|"][..],
        ),
        (
            "what the filter asks for wins",
            Script::new().macros(0, "v").macros(3, ""),
            &[("connect", &["j"]), ("mail", &[]), ("rcpt", &["{rcpt_addr}"])],
            &["DCv|Posthouse 0.1.0|"],
        ),
    ] {
        let filter = Filter::unix(script);
        let mut told = Macros::default();
        for (stage, names) in settings {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            told.set(stage, &names).expect("macros");
        }
        let settings = Settings { macros: told, ..super::settings(filter.address.clone()) };
        let mut session = Milter::new(settings).session();
        assert_eq!(ask_all(&mut session).await.1, Ok(Answer::default()), "{case}");
        session.close().await;
        let at = |code: char| macros(&filter).into_iter().filter(move |told| told[1..].starts_with(code));
        let told: Vec<String> = at('C').chain(at('M')).chain(at('R')).collect();
        assert_eq!(told, want, "{case}");
    }
}

#[tokio::test]
async fn who_wants_what_is_not_offered_is_refused() {
    let options = |octets: &[u8]| Script::new().say(b'O', b'O', octets);
    for (case, script, why) in [
        ("version of long ago", Script::new().version(1), "version 1"),
        ("version to come", Script::new().version(7), "version 7"),
        ("unknown action", Script::new().actions(0x200), "actions that are not offered: 0x200"),
        ("refused recipients", Script::new().steps(0x800), "steps that are not offered: 0x800"),
        ("larger packets", Script::new().steps(0x1000_0000), "steps that are not offered: 0x10000000"),
        ("unknown step", Script::new().steps(0x20_0000), "steps that are not offered: 0x200000"),
        ("no options", options(b""), "kind O that cannot be read"),
        ("half the options", options(b"\0\0\0\x06\0\0\x01\xff"), "kind O that cannot be read"),
        ("macros of no stage", Script::new().macros(7, "j"), "kind O that cannot be read"),
        ("macros without end", options(b"\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\0\0j"), "kind O that cannot be read"),
        ("macros with a line end", Script::new().macros(0, "j\r\n"), "kind O that cannot be read"),
        ("go on", Script::new().say(b'O', b'c', b""), "kind c out of place"),
        ("reject", Script::new().say(b'O', b'r', b""), "kind r out of place"),
        (
            "macros twice",
            Script::new().on(b'O', &[filter::Act::Say(packet(b'l', b"\0\0\0\0j\0").repeat(2))]),
            "kind l out of",
        ),
    ] {
        let filter = Filter::unix(script);
        let mut session = session(filter.address.clone());
        match ask_all(&mut session).await {
            (Question::Connect, Err(Failure::Protocol(text))) => assert!(text.contains(why), "{case}: {text}"),
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(filter.codes(), "O", "{case}");
    }
}
