//! Where passwords come from: standard input, the terminal, or random numbers. Never the command line, which others
//! can see.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::client::Failure;

/// Where a password comes from; without either option it is asked for on the terminal.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
pub struct PasswordSource {
    /// Read the password from standard input, to its end; one line end there does not count.
    #[arg(long)]
    pub password_stdin: bool,
    /// Make up a password and write it to standard output.
    #[arg(long)]
    pub generate_password: bool,
}

/// The password for a new or changed account. One that was made up is for the caller to tell once it counts.
pub fn obtain(source: PasswordSource) -> Result<String, Failure> {
    if source.password_stdin {
        return from_stdin(io::stdin().lock());
    }
    if source.generate_password {
        return generate();
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask for a password: use --password-stdin".to_owned()));
    }
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err(Failure::Failed("the two passwords differ".to_owned()));
    }
    Ok(password)
}

fn from_stdin(input: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    // One octet more than is allowed, so that a longer one is refused and not cut.
    input.take(LONGEST + 1).read_to_string(&mut text).map_err(|e| Failure::Failed(format!("standard input: {e}")))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    Ok(text.to_owned())
}

fn ask(prompt: &str) -> Result<String, Failure> {
    let failed = |e: io::Error| Failure::Failed(format!("terminal: {e}"));
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let silent = Silent::new().map_err(failed)?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    drop(silent);
    let _ = stderr.write_all(b"\n");
    read.map_err(failed)?;
    from_stdin(line.as_bytes())
}

/// The terminal without echo, for as long as this lives.
struct Silent(Termios);

impl Silent {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// 20 letters and digits, 100 bits.
fn generate() -> Result<String, Failure> {
    let mut octets = [0; 20];
    getrandom::fill(&mut octets).map_err(|e| Failure::Failed(format!("no random numbers: {e}")))?;
    Ok(octets.iter().map(|o| char::from(LETTERS[usize::from(o & 31)])).collect())
}

/// Without those that are taken for each other: i, l, o, 0.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// Enough for what the server allows, and for its line end.
const LONGEST: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_no_part_of_the_password() {
        for (input, want) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" sec ret \n", " sec ret "),
            ("", ""),
        ] {
            assert_eq!(from_stdin(input.as_bytes()).unwrap(), want, "{input:?}");
        }
        assert_eq!(from_stdin("x".repeat(5000).as_bytes()).unwrap().len(), 4097);
    }

    #[test]
    fn generated_passwords_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.len(), 20);
        assert_ne!(one, two);
    }
}
