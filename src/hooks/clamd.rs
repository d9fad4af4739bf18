//! clamd (ClamAV), by its `INSTREAM` command (clamd(8)).

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::milter::Address;
use super::{Answer, Change, Content, Failure, Said, UNCHECKED, Verdict};
use crate::mail::EnhancedCode;

/// A clamd.
#[derive(Clone, Debug)]
pub struct Clamd {
    /// Where it listens.
    pub address: Address,
    /// What becomes of a message with a virus.
    pub on_virus: OnVirus,
    /// Octets of a message that it is sent; more it would not take (`StreamMaxLength`).
    pub octets: u64,
}

/// What becomes of a message with a virus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnVirus {
    /// It is refused.
    #[default]
    Refuse,
    /// It waits for an administrator.
    Quarantine,
}

/// What clamd found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Clean,
    Virus(String),
    /// The message is longer than it wanted to hear.
    TooLong,
}

impl Clamd {
    /// Asks about a message.
    pub async fn ask(&self, content: &Content<'_>) -> Result<Answer, Failure> {
        let reply = match &self.address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                let _ = stream.set_nodelay(true);
                self.exchange(stream, content).await?
            }
            Address::Unix(path) => {
                self.exchange(UnixStream::connect(path).await.map_err(unreachable)?, content).await?
            }
        };
        let is_cut = content.size() > self.octets;
        Ok(match Finding::parse(&reply)? {
            Finding::Clean if is_cut => {
                let value = format!("all beyond {} octets, by clamd", self.octets).into_bytes();
                let mark = Change::AddField { name: UNCHECKED.to_owned(), value };
                let reasons = vec![format!("no virus in the first {} octets", self.octets)];
                Answer { changes: vec![mark], reasons, ..Answer::default() }
            }
            Finding::Clean => note("no virus".to_owned()),
            Finding::TooLong => return Err(Failure::Protocol("it takes fewer octets than are set here".to_owned())),
            Finding::Virus(name) => {
                let reasons = vec![format!("virus {name}")];
                let text = format!("Message has a virus: {name}");
                match self.on_virus {
                    OnVirus::Refuse => {
                        let said = Said::new(5, Some(554), Some(EnhancedCode::new(5, 7, 0)), &text);
                        Answer { verdict: Verdict::Refuse(said), reasons, changes: vec![] }
                    }
                    OnVirus::Quarantine => {
                        Answer { verdict: Verdict::Continue, changes: vec![Change::Quarantine(text)], reasons }
                    }
                }
            }
        })
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite, content: &Content<'_>) -> Result<Vec<u8>, Failure> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let write = async {
            writer.write_all(b"zINSTREAM\0").await.map_err(unreachable)?;
            let (end, mut at, mut chunk) = (self.octets.min(content.size()), 0, Vec::new());
            while at < end {
                chunk.clear();
                content.piece(at, CHUNK.min(end.saturating_sub(at)), &mut chunk).await.map_err(Failure::Store)?;
                let Some(length) = u32::try_from(chunk.len()).ok().filter(|length| *length > 0) else { break };
                writer.write_all(&length.to_be_bytes()).await.map_err(unreachable)?;
                writer.write_all(&chunk).await.map_err(unreachable)?;
                at = at.saturating_add(u64::from(length));
            }
            writer.write_all(&[0; 4]).await.map_err(unreachable)
        };
        let mut reply = Vec::new();
        let read = async {
            let mut octet = [0; 512];
            while reply.len() < MAX_REPLY && !reply.ends_with(b"\0") {
                let read = reader.read(&mut octet).await.map_err(unreachable)?;
                if read == 0 {
                    break;
                }
                reply.extend_from_slice(octet.get(..read).unwrap_or_default());
            }
            Ok(())
        };
        // It may answer, and close, before it has read everything.
        let (written, read) = tokio::join!(write, read);
        match (read, written) {
            (Err(failure), _) => Err(failure),
            (Ok(()), Err(failure @ Failure::Store(_))) => Err(failure),
            (Ok(()), Err(failure)) if reply.is_empty() => Err(failure),
            (Ok(()), _) => Ok(reply),
        }
    }
}

impl Finding {
    fn parse(reply: &[u8]) -> Result<Self, Failure> {
        let text = String::from_utf8_lossy(reply);
        let text = text.trim_end_matches(['\0', '\n']);
        if let Some(name) = text.strip_suffix(" FOUND") {
            return Ok(Finding::Virus(super::one_line(name.strip_prefix("stream: ").unwrap_or(name))));
        }
        match text {
            "stream: OK" => Ok(Finding::Clean),
            _ if text.contains("size limit exceeded") => Ok(Finding::TooLong),
            _ => Err(Failure::Protocol(super::one_line(text))),
        }
    }
}

fn note(reason: String) -> Answer {
    Answer { reasons: vec![reason], ..Answer::default() }
}

fn unreachable(error: std::io::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

const CHUNK: u64 = 64 << 10;
const MAX_REPLY: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_clamd() {
        for (reply, want) in [
            (&b"stream: OK\0"[..], Some(Finding::Clean)),
            (b"stream: Eicar-Test-Signature FOUND\0", Some(Finding::Virus("Eicar-Test-Signature".to_owned()))),
            (b"stream: a\r\nb FOUND\0", Some(Finding::Virus("a  b".to_owned()))),
            (b"INSTREAM size limit exceeded. ERROR\0", Some(Finding::TooLong)),
            (b"stream: Can't open file ERROR\0", None),
            (b"", None),
            (b"\xff\0", None),
        ] {
            assert_eq!(Finding::parse(reply).ok(), want, "{}", reply.escape_ascii());
        }
    }
}
