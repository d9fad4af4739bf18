//! The Basic scheme of HTTP (RFC 7617): the credentials of an Authorization field.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Who a client says it is.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    /// Up to the first colon.
    pub user: String,
    /// Everything after it.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl BasicCredentials {
    /// From the value of an Authorization field; `None` if it is of another scheme, longer than credentials can be, not
    /// base64 of UTF-8, or has no colon or a control character (RFC 7617 §2).
    pub fn parse(authorization: &str) -> Option<Self> {
        let (scheme, token) = authorization.split_once(' ')?;
        let token = token.trim_matches(' ');
        if !scheme.eq_ignore_ascii_case("Basic") || token.len() > LONGEST {
            return None;
        }
        let octets = STANDARD.decode(token).ok()?;
        let text = String::from_utf8(octets).ok()?;
        let (user, password) = text.split_once(':')?;
        let is_plain = !text.chars().any(char::is_control);
        is_plain.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }
}

/// Base64 of the longest path with the longest password that an account can have.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn credentials_are_read_or_refused() {
        for (case, value, want) in [
            ("RFC 7617 §2", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned(), Some(("Aladdin", "open sesame"))),
            ("RFC 7617 §2.1", "Basic dGVzdDoxMjPCow==".to_owned(), Some(("test", "123\u{a3}"))),
            ("scheme in another case", field("a:b").replace("Basic", "bASIC"), Some(("a", "b"))),
            ("spaces around", field("a:b").replace(' ', "   ") + "  ", Some(("a", "b"))),
            ("colons in the password", field("a:b:c:"), Some(("a", "b:c:"))),
            ("empty password", field("a:"), Some(("a", ""))),
            ("no colon", field("alice"), None),
            ("other scheme", field("a:b").replace("Basic", "Bearer"), None),
            ("scheme alone", "Basic".to_owned(), None),
            ("nothing", String::new(), None),
            ("no base64", "Basic a:b".to_owned(), None),
            ("base64 cut short", "Basic YTpi YTpi".to_owned(), None),
            ("without padding", "Basic YTo".to_owned(), None),
            ("URL alphabet", "Basic _-_-".to_owned(), None),
            ("line end in the name", field("a\r\nX: y:b"), None),
            ("NUL in the password", field("a:b\0c"), None),
            ("DEL", field("a\u{7f}:b"), None),
            ("C1 control", field("a\u{85}:b"), None),
            ("ISO 8859-1", format!("Basic {}", STANDARD.encode(b"a:\xa3")), None),
            ("too long", field(&format!("a:{}", "x".repeat(4000))), None),
        ] {
            let read = BasicCredentials::parse(&value);
            let read = read.as_ref().map(|c| (c.user.as_str(), c.password.as_str()));
            assert_eq!(read, want, "{case}");
        }
    }

    #[test]
    fn longest_account_and_password_fit() {
        let user = format!("{}@{}", "a".repeat(64), "b".repeat(191));
        let password = "p".repeat(1024);
        assert!(BasicCredentials::parse(&field(&format!("{user}:{password}"))).is_some());
        assert!(!format!("{:?}", BasicCredentials::parse(&field("a:secret"))).contains("secret"));
    }
}
