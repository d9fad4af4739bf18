//! URLs that the client can ask: `http://`, `https://`, and `unix:` for a socket of this machine.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;

/// A URL that can be asked, as it was written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    pub(super) target: Target,
    /// With the query; begins with `/`.
    pub(super) path: String,
}

/// Who is asked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A host.
    Host {
        /// A name, or an address without brackets.
        host: String,
        /// If it is given.
        port: Option<u16>,
        /// By HTTPS.
        is_secure: bool,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a URL that can be asked: http://HOST/PATH, https://HOST/PATH or unix:/SOCKET:/PATH, without user and fragment"
)]
pub struct UrlError;

impl Url {
    /// Whether the host proves who it is and nobody between can read along.
    pub fn is_https(&self) -> bool {
        matches!(self.target, Target::Host { is_secure: true, .. })
    }

    /// Whether what is sent stays on this machine: a socket, or an address of loopback.
    pub fn is_local(&self) -> bool {
        match &self.target {
            Target::Socket(_) => true,
            Target::Host { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL || text.contains('#') {
            return Err(UrlError);
        }
        if let Some(socket) = text.strip_prefix("unix:") {
            let (socket, path) =
                socket.split_once(":/").map_or((socket, "/".to_owned()), |(s, p)| (s, format!("/{p}")));
            let is_path = socket.starts_with('/') && !socket.starts_with("//") && path.parse::<Uri>().is_ok();
            return if is_path { Ok(Self { target: Target::Socket(socket.into()), path }) } else { Err(UrlError) };
        }
        let url: Uri = text.parse().map_err(|_| UrlError)?;
        let is_secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlError),
        };
        let authority = url.authority().ok_or(UrlError)?;
        // A port that is none is refused here and no host name has an `@` (RFC 9110 §4.2.4).
        let has_port = authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let port = url.port_u16();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if authority.as_str().contains('@') || host.is_empty() || (has_port && port.is_none_or(|port| port == 0)) {
            return Err(UrlError);
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { target: Target::Host { host, port, is_secure }, path })
    }
}

impl Target {
    /// The field Host (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Socket(_) => "localhost".to_owned(),
            Self::Host { host, port, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
            }
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Socket(socket) => write!(f, "unix:{}:{}", socket.display(), self.path),
            Target::Host { is_secure, .. } => {
                let scheme = if *is_secure { "https" } else { "http" };
                write!(f, "{scheme}://{}{}", self.target.authority(), self.path)
            }
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

const MAX_URL: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_can_be_asked() {
        for (text, written, is_https, is_local) in [
            ("https://a.test", "https://a.test/", true, false),
            ("https://a.test:8443/x?y=1", "https://a.test:8443/x?y=1", true, false),
            ("HTTP://127.0.0.1:80/", "http://127.0.0.1:80/", false, true),
            ("http://[::1]:8080/hook", "http://[::1]:8080/hook", false, true),
            ("http://[2001:db8::1]", "http://[2001:db8::1]/", false, false),
            ("http://localhost?x", "http://localhost/?x", false, true),
            ("unix:/run/hook.sock", "unix:/run/hook.sock:/", false, true),
            ("unix:/run/hook.sock:/check?a=b", "unix:/run/hook.sock:/check?a=b", false, true),
        ] {
            let url: Url = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(url.to_string(), written, "{text}");
            assert_eq!(url.to_string().parse(), Ok(url.clone()), "{text}");
            assert_eq!((url.is_https(), url.is_local()), (is_https, is_local), "{text}");
        }
        let long = format!("https://a.test/{}", "x".repeat(2_000));
        for text in [
            "",
            "a.test",
            "/path",
            "ftp://a.test/",
            "https://",
            "https:///x",
            "https://user@a.test/",
            "unix:",
            "unix:x",
            "https://u:p@a.test/",
            "https://a.test/#part",
            "https://a.test:0/",
            "https://a.test:99999/",
            "https://a.test:/",
            "https://a b/",
            "unix://run/x",
            "unix:/run/x:/a b",
            "https://a.test/\r\nX: y",
            &long,
        ] {
            assert_eq!(text.parse::<Url>(), Err(UrlError), "{text}");
        }
    }
}
