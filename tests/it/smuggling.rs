//! Ends of data that are none: with any of them in a message, what follows never becomes a message of its own.

use super::server;

const LOOKALIKES: &[&str] = &[
    "\n.\n",
    "\r\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\r\r.\r\r",
    "\n.\r",
    "\r.\n",
    "\r\n.\r\r\n",
    "\n\n.\r\n",
    "\r\n\0.\r\n",
    "\n..\r\n",
    "\r\n.\n\r\n",
    "\r",
    "\n",
    "\r\n \r.\r\n",
];

#[test]
fn no_lookalike_of_the_end_of_data_smuggles_a_message() {
    let server = server::shared();
    let account = server.fresh_account("smuggled");
    let address = format!("{account}@example.test");
    for (n, lookalike) in LOOKALIKES.iter().enumerate() {
        for split in [false, true] {
            let mut smtp = server.smtp();
            smtp.command("MAIL FROM:<a@client.example>", 250);
            smtp.command(&format!("RCPT TO:<{address}>"), 250);
            smtp.command("DATA", 354);
            let rest = format!(
                "MAIL FROM:<evil@client.example>\r\nRCPT TO:<{address}>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
            );
            let stream = format!("Subject: {n}\r\n\r\nbody{lookalike}{rest}");
            if split {
                // An octet at a time around the lookalike: the same whatever the segments are.
                let (head, tail) = stream.as_bytes().split_at(stream.len() - rest.len() - lookalike.len());
                smtp.wire.send(head);
                for octet in &tail[..lookalike.len() + 1] {
                    smtp.wire.send(&[*octet]);
                }
                smtp.wire.send(&tail[lookalike.len() + 1..]);
            } else {
                smtp.wire.send(stream.as_bytes());
            }
            let reply = smtp.reply();
            assert!(
                reply.code == 550 && reply.lines[0].starts_with("5.6.0"),
                "{}: {} {:?}",
                lookalike.escape_debug(),
                reply.code,
                reply.lines
            );
            // The session is in step: the next reply belongs to the next command, if it is still open.
            if smtp.wire.try_send(b"NOOP\r\n").is_ok()
                && let Ok(reply) = smtp.try_reply()
            {
                assert!(matches!(reply.code, 250 | 421), "{}: {:?}", lookalike.escape_debug(), reply);
            }
        }
    }
    let mut imap = server.imap(&account);
    let answer = imap.ok("EXAMINE INBOX");
    assert_eq!(answer.number("EXISTS"), Some(0));
}
