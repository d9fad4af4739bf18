//! Filters that misbehave, at each command: whatever they do, it ends in bounded time with a failure that says what it
//! was, and the next session is another.

use std::time::Instant;

use tokio::task::JoinSet;

use super::filter::{Act, Filter, Script, packet};
use super::*;

const COMMANDS: &[u8] = b"OCHMRTLNBE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unreachable,
    Timeout,
    Protocol,
}

fn kind(answer: &Result<Answer, Failure>) -> Option<Kind> {
    match answer {
        Err(Failure::Unreachable(_)) => Some(Kind::Unreachable),
        Err(Failure::Timeout) => Some(Kind::Timeout),
        Err(Failure::Protocol(_)) => Some(Kind::Protocol),
        _ => None,
    }
}

/// What it does, and what that is.
fn deeds() -> Vec<(&'static str, Act, Kind)> {
    let says = |octets: &[u8]| Act::Say(octets.to_vec());
    let pause = Duration::from_millis(1);
    vec![
        ("closes", Act::Close, Kind::Unreachable),
        ("closes within a length", Act::Last(b"\0\0".to_vec()), Kind::Unreachable),
        ("closes within a packet", Act::Last(b"\0\0\0\x10y550 ".to_vec()), Kind::Unreachable),
        ("says nothing", Act::Silence, Kind::Timeout),
        ("says the start of a packet", says(b"\0\0\0\x10y"), Kind::Timeout),
        ("says one octet after the other", Act::Drip(packet(b'y', &[b'x'; 1_000]), SHORT / 20), Kind::Timeout),
        ("speaks something else", says(b"220 mail.ext.test ESMTP\r\n"), Kind::Protocol),
        ("says a packet of no octets", says(b"\0\0\0\0"), Kind::Protocol),
        ("says the length of a packet without end", says(b"\xff\xff\xff\xffc"), Kind::Protocol),
        ("says a code that is none", says(&packet(b'z', b"")), Kind::Protocol),
        ("says a packet with something behind", says(&packet(b'c', b"x")), Kind::Protocol),
        ("says a string without end", says(&packet(b'y', b"550 no")), Kind::Protocol),
        ("negotiates again and again", Act::Repeat(packet(b'O', b"\0\0\0\x07\0\0\0\0\0\0\0\0"), pause), Kind::Protocol),
        ("skips", says(&packet(b's', b"")), Kind::Protocol),
        ("wants macros", says(&packet(b'l', b"\0\0\0\0j\0").repeat(2)), Kind::Protocol),
        ("adds half a field", says(&packet(b'h', b"X\0")), Kind::Protocol),
        ("says garbage without end", Act::Repeat(vec![0x80; 10_000], pause), Kind::Protocol),
    ]
}

#[tokio::test]
async fn whatever_a_filter_does_at_whatever_command() {
    let mut cases = JoinSet::new();
    for (deed, act, want) in deeds() {
        for (at, command) in COMMANDS.iter().enumerate() {
            let act = act.clone();
            cases.spawn(async move {
                let script = Script::new().on(*command, &[act]);
                let filter = if at % 2 == 0 { Filter::tcp(script) } else { Filter::unix(script) };
                // The drip is slower than the patience of a whole session.
                let mut session = impatient(filter.address.clone());
                let start = Instant::now();
                let answer = ask_all(&mut session).await.1;
                let case = format!("{deed} at {}: {answer:?}", char::from(*command));
                assert!(start.elapsed() < LONG / 2, "{case}: {:?}", start.elapsed());
                assert_eq!(kind(&answer), Some(want), "{case}");
                assert!(!answer.unwrap_err().to_string().contains(char::is_control), "{case}");
                // It is not asked again.
                let again = session.mail(&envelope(&[])).await;
                assert_eq!(kind(&again), Some(Kind::Unreachable), "{case}: {again:?}");
                assert_eq!(session.abort().await, Ok(()), "{case}");
                session.close().await;
                assert_eq!(filter.connections(), 1, "{case}");
            });
        }
    }
    assert_eq!(cases.len(), deeds().len() * COMMANDS.len());
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn changes_have_their_place() {
    let changes: &[(u8, &[u8])] = &[
        (b'h', b"X\x001\0"),
        (b'i', b"\0\0\0\0X\x001\0"),
        (b'm', b"\0\0\0\x01X\x001\0"),
        (b'b', b"x"),
        (b'e', b"<>\0"),
        (b'+', b"<a@b.test>\0"),
        (b'2', b"<a@b.test>\0X=1\0"),
        (b'-', b"<a@b.test>\0"),
        (b'q', b"x\0"),
        (b'p', b""),
    ];
    for (code, payload) in changes {
        for command in COMMANDS.iter().filter(|command| **command != b'E') {
            let filter = Filter::unix(Script::new().say(*command, *code, payload));
            let answer = ask_all(&mut session(filter.address.clone())).await.1;
            let want = format!("a reply of kind {} out of place", char::from(*code));
            assert_eq!(answer, Err(Failure::Protocol(want)), "at {}", char::from(*command));
        }
    }
}

#[tokio::test]
async fn replies_without_end_have_one() {
    let field = packet(b'h', &[b"X\0", &[b'a'; 900][..], b"\0"].concat());
    for (case, act) in [
        ("progress", Act::Repeat(packet(b'p', b"").repeat(10_000), Duration::ZERO)),
        ("fields", Act::Repeat(field.repeat(100), Duration::ZERO)),
        ("a body", Act::Repeat(packet(b'b', &[b'a'; 60_000]), Duration::ZERO)),
        ("pieces of a body", Act::Repeat(packet(b'b', b"").repeat(10_000), Duration::ZERO)),
    ] {
        let filter = Filter::unix(Script::new().on(b'E', &[act]));
        let start = Instant::now();
        let answer = ask_all(&mut session(filter.address.clone())).await.1;
        assert!(matches!(&answer, Err(Failure::Protocol(text)) if text.starts_with("too many")), "{case}: {answer:?}");
        assert!(start.elapsed() < LONG / 2, "{case}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_message_has_an_end_however_slow_the_filter_is() {
    let slow = SHORT / 2;
    let header: Vec<u8> = (0..1_000).flat_map(|n| format!("X-{n}: y\r\n").into_bytes()).collect();
    for (case, command, reply) in [("each field", b'L', packet(b'c', b"")), ("progress", b'E', packet(b'p', b""))] {
        let drip = Act::Drip(reply.clone(), slow / 5);
        let act = if command == b'E' { Act::Repeat(reply, slow) } else { drip };
        let filter = Filter::unix(Script::new().on(command, &[act]));
        let mut session = impatient(filter.address.clone());
        let start = Instant::now();
        let answer = ask(&mut session, &envelope(&["bob@corp.test"]), &header, BODY).await.1;
        assert_eq!(answer, Err(Failure::Timeout), "{case}");
        let took = start.elapsed();
        assert!(took > SHORT * 9 && took < LONG / 2, "{case}: {took:?}");
    }
}

#[tokio::test]
async fn a_filter_that_reads_no_more_is_not_waited_for() {
    let body = b"0123456789abcdef\r\n".repeat(400_000);
    for filter in [Filter::tcp, Filter::unix] {
        let filter = filter(Script::new().steps(0x8_0000).on(b'B', &[Act::Stall]));
        let mut session = impatient(filter.address.clone());
        let start = Instant::now();
        let answer = ask(&mut session, &envelope(&["bob@corp.test"]), HEADER, &body).await.1;
        assert_eq!(answer, Err(Failure::Timeout));
        assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_reply_that_nothing_asked_for_is_not_taken_for_another() {
    let accepts = [packet(b'c', b""), packet(b'a', b"")].concat();
    for command in *b"CHMRTLNB" {
        let filter = Filter::unix(Script::new().on(command, &[Act::Say(accepts.clone())]));
        let answer = ask_all(&mut session(filter.address.clone())).await.1;
        let want = Failure::Protocol("a reply that nothing asked for".to_owned());
        assert_eq!(answer, Err(want), "{}", char::from(command));
    }
}

#[tokio::test]
async fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [
        Address::Unix(dir.path().join("none.sock")),
        Address::Unix(dir.path().to_owned()),
        Address::Tcp("127.0.0.1".to_owned(), closed.port()),
    ] {
        let answer = ask_all(&mut session(address.clone())).await;
        assert_eq!((answer.0, kind(&answer.1)), (Question::Connect, Some(Kind::Unreachable)), "{address:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_never_taken_is_given_up() {
    // A queue of one, which is full.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || std::net::TcpStream::connect_timeout(&address, SHORT);
    let waiting: Vec<_> = (0..10).map_while(|_| connect().ok()).collect();
    assert!(waiting.len() < 10, "the queue is never full");
    let settings =
        Settings { connect_timeout: SHORT, ..settings(Address::Tcp("127.0.0.1".to_owned(), address.port())) };
    let start = Instant::now();
    let answer = ask_all(&mut Milter::new(settings).session()).await;
    assert_eq!(answer, (Question::Connect, Err(Failure::Timeout)));
    assert!(start.elapsed() < LONG / 2);
}

#[tokio::test]
async fn the_next_session_opens_anew() {
    for (act, want) in [(Act::Close, Kind::Unreachable), (Act::Silence, Kind::Timeout)] {
        let filter = Filter::tcp(Script::new().on(b'M', &[act]));
        let milter = Milter::new(Settings { timeout: SHORT, ..settings(filter.address.clone()) });
        for n in 1..=3 {
            let mut session = milter.session();
            assert_eq!(kind(&ask_all(&mut session).await.1), Some(want));
            session.close().await;
            assert_eq!(filter.connections(), n);
            assert_eq!(
                filter.told_on(n - 1).last().map(String::as_str),
                Some("M<alice@ext.test>|SIZE=100|BODY=8BITMIME|")
            );
        }
    }
}

#[tokio::test]
async fn a_question_that_is_given_up_leaves_no_answer_for_the_next() {
    let filter = Filter::unix(Script::new().on(b'M', &[Act::Silence]));
    let mut session = session(filter.address.clone());
    session.connect(&facts()).await.unwrap();
    assert!(tokio::time::timeout(SHORT, session.mail(&envelope(&[]))).await.is_err());
    let again = session.rcpt(&envelope(&["bob@corp.test"])).await;
    assert_eq!(kind(&again), Some(Kind::Unreachable));
    assert_eq!(filter.told().last().map(|told| &told[..1]), Some("M"), "it is closed");
}

#[tokio::test]
async fn a_filter_that_closes_after_its_verdict_has_given_it() {
    for (command, question) in [(b'M', Question::Mail), (b'L', Question::Message), (b'E', Question::Message)] {
        let filter = Filter::unix(Script::new().on(command, &[Act::Last(packet(b'y', b"550 5.7.1 no\0"))]));
        let mut session = session(filter.address.clone());
        let (asked, answer) = ask_all(&mut session).await;
        assert_eq!(asked, question);
        assert!(
            matches!(&answer, Ok(answer) if matches!(&answer.verdict, Verdict::Refuse(said) if said.text() == "no"))
        );
        filter.told();
        let again = session.mail(&envelope(&[])).await;
        assert_eq!(kind(&again), Some(Kind::Unreachable), "{again:?}");
    }
}
