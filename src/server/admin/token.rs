//! The bearer token of the TCP listener (RFC 6750): 32 random octets in hexadecimal, in a file only we may read.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token in use. Only its hash is kept in memory.
#[derive(Clone)]
pub struct Token {
    hash: [u8; 32],
}

impl Token {
    /// The token in `admin.token` of the data directory; made if there is none. Blocks.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("admin.token");
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= SHORTEST => Ok(Self::new(text.trim())),
            Ok(_) => Err(io::Error::other(format!("{} holds no token", path.display()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create(&path),
            Err(e) => Err(e),
        }
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut octets = [0; 32];
        getrandom::fill(&mut octets).map_err(|e| io::Error::other(e.to_string()))?;
        let text: String = octets.iter().map(|o| format!("{o:02x}")).collect();
        // Renamed into place, so that a crash leaves no file with half a token.
        let partial = path.with_extension("token.new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        Ok(Self::new(&text))
    }

    fn new(text: &str) -> Self {
        Self { hash: Sha256::digest(text).into() }
    }

    /// True for the value of an Authorization field that holds this token.
    pub fn is_in(&self, authorization: &str) -> bool {
        let Some((scheme, token)) = authorization.split_once(' ') else { return false };
        // Hashes are compared, so that time tells nothing about the token's length or beginning.
        let hash: [u8; 32] = Sha256::digest(token.trim()).into();
        scheme.eq_ignore_ascii_case("Bearer") && bool::from(hash.ct_eq(&self.hash))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// What an administrator writes into the file himself must not be guessable either.
const SHORTEST: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn token_is_made_once_and_only_it_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::open(dir.path()).unwrap();
        let path = dir.path().join("admin.token");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Token::open(dir.path()).unwrap();
        let text = text.trim();
        for (case, value, want) in [
            ("the token", format!("Bearer {text}"), true),
            ("scheme in another case", format!("bearer {text}"), true),
            ("cut short", format!("Bearer {}", &text[1..]), false),
            ("other scheme", format!("Basic {text}"), false),
            ("bare", text.to_owned(), false),
            ("nothing", String::new(), false),
        ] {
            assert_eq!(token.is_in(&value), want, "{case}");
            assert_eq!(again.is_in(&value), want, "{case}, read again");
        }
        std::fs::write(&path, "short\n").unwrap();
        assert!(Token::open(dir.path()).is_err());
    }
}
