//! A small SMTP client.

use std::io;
use std::net::SocketAddr;

use super::wire::Wire;

/// A reply with its lines (without codes).
#[derive(Debug, Clone)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
}

impl Reply {
    /// What follows the code, its lines separated by LF.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

pub struct Smtp {
    pub wire: Wire,
}

impl Smtp {
    /// Connects and reads the greeting.
    pub fn greeted(address: SocketAddr) -> Self {
        let mut smtp = Self { wire: Wire::connect(address) };
        smtp.expect(220);
        smtp
    }

    /// Connects, reads the greeting and says EHLO.
    pub fn open(address: SocketAddr) -> Self {
        let mut smtp = Self::greeted(address);
        smtp.command("EHLO client.example.test", 250);
        smtp
    }

    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.wire.try_line()?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let code = text.get(..3).and_then(|c| c.parse::<u16>().ok());
            let Some(code) = code.filter(|_| matches!(text.as_bytes().get(3), None | Some(b' ' | b'-'))) else {
                return Err(io::Error::other(format!("not a reply: {text:?}")));
            };
            lines.push(text.get(4..).unwrap_or("").to_owned());
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    pub fn reply(&mut self) -> Reply {
        match self.try_reply() {
            Ok(reply) => reply,
            Err(error) => panic!("no reply: {error}\n{}", self.wire.story()),
        }
    }

    #[track_caller]
    pub fn expect(&mut self, code: u16) -> Reply {
        let reply = self.reply();
        assert_eq!(reply.code, code, "{:?}\n{}", reply.lines, self.wire.story());
        reply
    }

    #[track_caller]
    pub fn command(&mut self, line: &str, code: u16) -> Reply {
        self.wire.send(format!("{line}\r\n").as_bytes());
        self.expect(code)
    }

    /// Sends one message in DATA and gives the final reply.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Reply {
        self.command(&format!("MAIL FROM:<{from}>"), 250);
        for recipient in to {
            self.command(&format!("RCPT TO:<{recipient}>"), 250);
        }
        self.command("DATA", 354);
        self.wire.send(&dot_stuffed(message));
        self.reply()
    }
}

/// As DATA wants it: dots doubled, and the final dot. The message has CRLF line ends.
pub fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|b| *b == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
