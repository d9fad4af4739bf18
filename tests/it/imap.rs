//! A small IMAP client.

use std::io;
use std::net::SocketAddr;

use super::wire::Wire;

pub struct Imap {
    pub wire: Wire,
    tag: u32,
}

/// What one command brought.
#[derive(Debug)]
pub struct Answer {
    /// Untagged responses, literals included, without the last CRLF.
    pub untagged: Vec<Vec<u8>>,
    /// The tagged response without its tag.
    pub tagged: String,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.tagged.starts_with("OK")
    }

    /// Untagged responses as text.
    pub fn lines(&self) -> Vec<String> {
        self.untagged.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect()
    }

    /// The number in `* n NAME`, the last one given.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.lines().iter().rev().find_map(|l| {
            let mut words = l.strip_prefix("* ")?.split(' ');
            let n = words.next()?.parse().ok()?;
            (words.next()? == name).then_some(n)
        })
    }
}

impl Imap {
    /// Connects; the greeting is not yet read.
    pub fn raw(address: SocketAddr) -> Self {
        Self { wire: Wire::connect(address), tag: 0 }
    }

    /// Connects and reads the greeting.
    pub fn open(address: SocketAddr) -> Self {
        let mut imap = Self::raw(address);
        let greeting = imap.response();
        assert!(greeting.starts_with(b"* OK"), "{}", imap.wire.story());
        imap
    }

    pub fn login(address: SocketAddr, user: &str, password: &str) -> Self {
        let mut imap = Self::open(address);
        imap.ok(&format!("LOGIN \"{user}\" \"{password}\""));
        imap
    }

    /// One response: a line, with the literals in it and the lines after them.
    pub fn try_response(&mut self) -> io::Result<Vec<u8>> {
        let mut all = self.wire.try_line()?;
        while let Some(n) = literal(&all) {
            all.extend_from_slice(b"\r\n");
            all.extend_from_slice(&self.wire.try_octets(n)?);
            let next = self.wire.try_line()?;
            all.extend_from_slice(&next);
            // The end of a line is looked at alone: a literal may end in something like `{3}`.
            if literal(&next).is_none() {
                return Ok(all);
            }
        }
        Ok(all)
    }

    pub fn response(&mut self) -> Vec<u8> {
        match self.try_response() {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}\n{}", self.wire.story()),
        }
    }

    pub fn next_tag(&mut self) -> String {
        self.tag += 1;
        format!("t{}", self.tag)
    }

    /// Reads up to the tagged response.
    pub fn until(&mut self, tag: &str) -> Answer {
        match self.try_until(tag) {
            Ok(answer) => answer,
            Err(error) => panic!("no answer: {error}\n{}", self.wire.story()),
        }
    }

    pub fn try_until(&mut self, tag: &str) -> io::Result<Answer> {
        let start = format!("{tag} ");
        let mut untagged = Vec::new();
        loop {
            let response = self.try_response()?;
            if response.starts_with(start.as_bytes()) {
                let tagged = String::from_utf8_lossy(&response[start.len()..]).into_owned();
                return Ok(Answer { untagged, tagged });
            }
            untagged.push(response);
        }
    }

    pub fn command(&mut self, command: &str) -> Answer {
        let tag = self.next_tag();
        self.wire.send(format!("{tag} {command}\r\n").as_bytes());
        self.until(&tag)
    }

    #[track_caller]
    pub fn ok(&mut self, command: &str) -> Answer {
        let answer = self.command(command);
        assert!(answer.is_ok(), "{command}: {}\n{}", answer.tagged, self.wire.story());
        answer
    }

    /// The messages in a folder that contain `text`, as they are; none if there is no such folder.
    pub fn messages(&mut self, folder: &str, text: &str) -> Vec<String> {
        if !self.command(&format!("SELECT \"{folder}\"")).is_ok() {
            return Vec::new();
        }
        let lines = self.ok(&format!("UID SEARCH TEXT \"{text}\"")).lines();
        let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).unwrap_or_default().to_owned();
        let whole = |uid: &str| {
            let answer = self.ok(&format!("UID FETCH {uid} (BODY.PEEK[])"));
            let body = answer.untagged.iter().find_map(|r| nstring_after(r, b"BODY["));
            String::from_utf8_lossy(&body.expect("a body")).into_owned()
        };
        found.split_whitespace().map(whole).collect()
    }

    /// APPEND with a non-synchronizing literal.
    pub fn append(&mut self, mailbox: &str, options: &str, message: &[u8]) -> Answer {
        let tag = self.next_tag();
        let options = if options.is_empty() { String::new() } else { format!("{options} ") };
        let mut command = format!("{tag} APPEND {mailbox} {options}{{{}+}}\r\n", message.len()).into_bytes();
        command.extend_from_slice(message);
        command.extend_from_slice(b"\r\n");
        self.wire.send(&command);
        self.until(&tag)
    }
}

/// The length of the literal announced at the end of a line.
pub fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let start = inner.iter().rposition(|b| *b == b'{')?;
    std::str::from_utf8(inner.get(start + 1..)?).ok()?.parse().ok()
}

/// The string value that follows the item which starts with `item` (up to its `]`).
pub fn nstring_after(response: &[u8], item: &[u8]) -> Option<Vec<u8>> {
    let at = response.windows(item.len()).position(|w| w == item)?;
    let close = at + response[at..].iter().position(|b| *b == b']')?;
    let mut value = response.get(close + 1..)?;
    if value.first() == Some(&b'<') {
        value = value.get(value.iter().position(|b| *b == b'>')? + 1..)?;
    }
    value = value.strip_prefix(b" ")?;
    match value.first()? {
        b'{' => {
            let end = value.windows(3).position(|w| w == b"}\r\n")?;
            let n: usize = std::str::from_utf8(&value[1..end]).ok()?.parse().ok()?;
            value.get(end + 3..end + 3 + n).map(<[u8]>::to_vec)
        }
        b'"' => {
            let mut out = Vec::new();
            let mut octets = value[1..].iter();
            loop {
                match octets.next()? {
                    b'"' => return Some(out),
                    b'\\' => out.push(*octets.next()?),
                    other => out.push(*other),
                }
            }
        }
        _ => None,
    }
}
