//! Mutated command streams: each is answered or closed in time, nothing panics, memory stays bounded.

use std::time::{Duration, Instant};

use super::prng::{Prng, mutate};
use super::server::{PASSWORD, Server};
use super::wire::Wire;

const STREAMS: u64 = 2000;

/// How long one stream may keep the server busy.
const LIMIT: Duration = Duration::from_secs(10);

/// What the process may hold at the end.
const MEMORY_KIB: u64 = 600 * 1024;

#[test]
fn mutated_smtp_streams_are_answered_or_closed() {
    let auth = "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABvcGVuIHNlc2FtZQ==\r\n";
    let seeds = [
        "EHLO client.example.test\r\nMAIL FROM:<a@client.example> SIZE=100 BODY=8BITMIME\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n\r\n..body\r\n.\r\nQUIT\r\n".to_owned(),
        "EHLO [IPv6:::1]\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<bob@example.test> NOTIFY=NEVER\r\nBDAT 10\r\n0123456789BDAT 4 LAST\r\nab\r\nRSET\r\n".to_owned(),
        format!("EHLO x\r\n{auth}MAIL FROM:<\"q s\"@client.example>\r\nRCPT TO:<alice@example.test> ORCPT=rfc822;a+40b\r\nVRFY alice\r\nHELP\r\nNOOP x\r\n"),
        "EHLO x\r\nAUTH LOGIN\r\nYWxpY2U=\r\nAAAA\r\nAUTH SCRAM-SHA-256 biwsbj1hLHI9YQ==\r\nYz1iaXdzLHI9YSxwPWFhYQ==\r\nSTARTTLS\r\n".to_owned(),
        "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<@a,@b:alice@example.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\nReceived: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n.\r\n".to_owned(),
    ];
    let tokens: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\r\n.\r\n",
        b"<",
        b">",
        b"@",
        b":",
        b" ",
        b"=",
        b"\"",
        b"\\",
        b"[",
        b"]",
        b"BDAT 99999999999999999999 LAST\r\n",
        b"BDAT 0\r\n",
        b"DATA\r\n",
        b"RSET\r\n",
        b"MAIL FROM:<>\r\n",
        b"\xff\xfe",
        b"AUTH PLAIN =\r\n",
        b"SIZE=18446744073709551616",
        b"EHLO ",
        b"STARTTLS\r\n",
        b"+0",
        b"%",
        b"x,",
        b"\xc3\xa4",
        b"*\r\n",
    ];
    run("smtp", &["smtp", "submission"], &seeds, tokens);
}

#[test]
fn mutated_imap_streams_are_answered_or_closed() {
    let login = format!("a LOGIN alice@example.test \"{PASSWORD}\"\r\n");
    let seeds = [
        format!("{login}b SELECT INBOX\r\nc FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[1.2.HEADER.FIELDS (A B)]<0.10>)\r\nd LOGOUT\r\n"),
        format!("{login}b CREATE \"a/&AOQ-b\"\r\nc RENAME \"a\" {{3+}}\r\nxyz\r\nd LIST \"\" \"%/*\"\r\ne DELETE xyz\r\nf LSUB \"\" *\r\ng STATUS INBOX (MESSAGES UIDNEXT)\r\n"),
        format!("{login}b SELECT INBOX\r\nc SEARCH CHARSET UTF-8 OR (NOT SEEN UID 1:5,7) SUBJECT {{5+}}\r\nhello SINCE 1-Feb-1994\r\nd UID SEARCH HEADER X \"y\" LARGER 10\r\n"),
        format!("{login}b APPEND INBOX (\\Seen kw) \"17-Jul-1996 02:44:25 -0700\" {{20+}}\r\nSubject: x\r\n\r\nbody\r\n\r\nc SELECT INBOX\r\nd STORE 1:* +FLAGS.SILENT (\\Deleted a)\r\ne UID EXPUNGE 1:3,9:*\r\nf COPY 1 Trash\r\ng UID MOVE 1 Trash\r\n"),
        format!("{login}b IDLE\r\nDONE\r\nc NAMESPACE\r\nd ID (\"a\" NIL)\r\ne ENABLE CONDSTORE\r\nf LIST (SPECIAL-USE) \"\" (a b) RETURN (STATUS (UNSEEN))\r\ng UNSELECT\r\nh CLOSE\r\n"),
        "a CAPABILITY\r\nb AUTHENTICATE PLAIN\r\nAGEAYg==\r\nc AUTHENTICATE SCRAM-SHA-256 biwsbj1hLHI9YQ==\r\nYz1i\r\nd LOGIN {1+}\r\na {1}\r\nb\r\ne STARTTLS\r\n".to_owned(),
    ];
    let tokens: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"(",
        b")",
        b"{",
        b"}",
        b"{0}\r\n",
        b"{3+}\r\n",
        b"{99999999999}\r\n",
        b"{4294967295+}\r\n",
        b"\"",
        b"\\",
        b"*",
        b"%",
        b"1:*",
        b"4294967295",
        b"4294967296",
        b"0",
        b",",
        b":",
        b"[",
        b"]",
        b"<0.4294967295>",
        b"&AOQ-",
        b"&",
        b" ",
        b"NOT ",
        b"OR ",
        b"\xff\xfe",
        b"\xc3\xa4",
        b"NIL",
        b"DONE\r\n",
        b"IDLE\r\n",
        b"UID ",
        b".",
        b"a NOOP\r\n",
    ];
    run("imap", &["imap"], &seeds, tokens);
}

fn run(name: &str, listeners: &[&str], seeds: &[String], tokens: &[&[u8]]) {
    let mut server = Server::start();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let server = &server;
        let lanes: Vec<_> = (0..8_u64)
            .map(|lane| {
                scope.spawn(move || {
                    let mut failures = Vec::new();
                    for n in (0..STREAMS).filter(|n| n % 8 == lane) {
                        let mut random = Prng(n);
                        let seed = random.pick(seeds).as_bytes().to_vec();
                        // Mostly what comes behind the login: damaged ones lock the account sooner or later.
                        let login = seed.windows(2).position(|end| end == b"\r\n").map_or(0, |at| at + 2);
                        let kept = if seed.starts_with(b"a LOGIN") && random.below(16) > 0 { login } else { 0 };
                        let (head, tail) = seed.split_at(kept);
                        let stream = [head, &mutate(&mut random, tail, tokens)].concat();
                        let listener = *random.pick(listeners);
                        if let Err(problem) = one(server, listener, &stream) {
                            failures.push(format!("stream {n} on {listener}: {problem}: {}", shown(&stream)));
                        }
                    }
                    failures
                })
            })
            .collect();
        for lane in lanes {
            failures.extend(lane.join().expect("a lane"));
        }
    });
    assert!(failures.is_empty(), "{} of {STREAMS} {name} streams\n{}", failures.len(), failures.join("\n"));
    assert!(server.is_running(), "the server is gone");
    server.assert_no_panic();
    let memory = server.resident_kib();
    assert!(memory < MEMORY_KIB, "{memory} KiB resident");
    // It works as before, and the store is sound.
    server.cli(&["account", "unlock", "alice@example.test"], "");
    server.smtp().command("NOOP", 250);
    server.imap("alice").ok("SELECT INBOX");
    server.cli(&["check"], "");
}

/// Sends a stream and the end of input; the server must close in time.
fn one(server: &Server, listener: &str, stream: &[u8]) -> Result<(), String> {
    let start = Instant::now();
    let mut wire = Wire::connect(server.address(listener));
    wire.patience = LIMIT;
    // The server may close before it has read everything; that is an answer too.
    let _ = wire.try_send(stream);
    wire.end_sending();
    match wire.rest() {
        Ok(answer) if answer.is_empty() => Err("no greeting".to_owned()),
        Ok(_) if start.elapsed() > LIMIT => Err(format!("took {:?}", start.elapsed())),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("hung: {error}")),
    }
}

fn shown(stream: &[u8]) -> String {
    stream[..stream.len().min(600)].escape_ascii().to_string()
}
