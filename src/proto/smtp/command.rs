//! One command line to one value (RFC 5321 §4.1.1).

use super::parameter::{self, Body};
use super::path;
use crate::mail::{ForwardPath, Notify, Ret, ReversePath};

/// How exactly a client must keep to the grammar of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// As RFC 5321 §4.1.2 has it: mail from other servers.
    Strict,
    /// Also spaces after the colon and addresses without angle brackets, as some clients send them: submission.
    Lenient,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the name that the client gives itself.
    Ehlo(Box<str>),
    /// HELO with the name that the client gives itself.
    Helo(Box<str>),
    /// MAIL FROM.
    Mail(Mail),
    /// RCPT TO.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat {
        /// Octets that follow the line.
        size: u64,
        /// The message ends with them.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP, with or without argument.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY; what is asked for is not kept, since it is never answered.
    Vrfy,
    /// EXPN; the same.
    Expn,
    /// HELP.
    Help,
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954 §4).
    Auth {
        /// The mechanism's name as sent.
        mechanism: Box<[u8]>,
        /// The initial response as sent: base64 or `=`.
        initial: Option<Box<[u8]>>,
    },
    /// XCLIENT, with what stands behind it as sent: what it says is looked at only if it may come (see
    /// [`XClient`](super::XClient)).
    XClient(Box<[u8]>),
}

/// MAIL FROM and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// SIZE (RFC 1870), in octets.
    pub size: Option<u64>,
    /// BODY (RFC 6152).
    pub body: Body,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 §4.4), decoded from xtext.
    pub envid: Option<Box<str>>,
    /// REQUIRETLS (RFC 8689 §2).
    pub requires_tls: bool,
}

/// RCPT TO and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// The forward-path.
    pub forward_path: ForwardPath,
    /// The path has characters beyond ASCII: allowed only after MAIL with SMTPUTF8.
    pub needs_smtputf8: bool,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2) as sent: `addr-type;xtext`.
    pub orcpt: Option<Box<str>>,
}

/// Why a line is no command of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No verb that SMTP knows.
    #[error("unknown command")]
    Unknown,
    /// A verb of SMTP that this server does not implement.
    #[error("command not implemented")]
    NotImplemented,
    /// The argument does not fit the command's grammar.
    #[error("bad argument")]
    Argument,
    /// The reverse-path is not an address.
    #[error("bad reverse-path")]
    ReversePath,
    /// The forward-path is not an address.
    #[error("bad forward-path")]
    ForwardPath,
    /// A reverse-path beyond ASCII without SMTPUTF8 (RFC 6531 §3.5).
    #[error("SMTPUTF8 required")]
    NeedsSmtputf8,
    /// A parameter of MAIL or RCPT that no offered extension defines, or a value that is not offered.
    #[error("parameter not recognized")]
    UnknownParameter,
    /// A parameter whose value does not fit its grammar, or given twice.
    #[error("bad parameter")]
    Parameter,
}

impl Command {
    /// From a line without its CRLF.
    pub fn parse(line: &[u8], syntax: Syntax) -> Result<Self, CommandError> {
        // RFC 5321 §4.1.1: trailing white space is tolerated.
        let line = line.trim_ascii_end();
        let (verb, argument) = match line.iter().position(|b| *b == b' ') {
            Some(space) => line.split_at(space),
            None => (line, &[][..]),
        };
        let argument = argument.strip_prefix(b" ").unwrap_or_default();
        let verb = Verb::parse(verb)?;
        // RFC 5321 §4.1.2: commands are printable; a bare CR or LF is not part of one.
        let is_printable = !argument.iter().any(|b| b.is_ascii_control() && *b != b'\t');
        // XCLIENT is no command to strangers, whatever its argument; its own parser takes no control characters either.
        if !is_printable && !matches!(verb, Verb::XClient) {
            return Err(CommandError::Argument);
        }
        match verb {
            Verb::Mail => mail(argument, syntax).map(Self::Mail),
            Verb::Rcpt => rcpt(argument, syntax).map(Self::Rcpt),
            Verb::Data => without_argument(argument, Self::Data),
            Verb::Bdat => bdat(argument),
            Verb::Ehlo => client_name(argument).map(Self::Ehlo),
            Verb::Helo => client_name(argument).map(Self::Helo),
            Verb::Rset => without_argument(argument, Self::Rset),
            Verb::Noop => Ok(Self::Noop),
            Verb::Quit => without_argument(argument, Self::Quit),
            Verb::Vrfy => with_argument(argument, Self::Vrfy),
            Verb::Expn => with_argument(argument, Self::Expn),
            Verb::Help => Ok(Self::Help),
            Verb::StartTls => without_argument(argument, Self::StartTls),
            Verb::Auth => auth(argument),
            Verb::XClient => Ok(Self::XClient(argument.into())),
        }
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth,
    XClient,
}

impl Verb {
    fn parse(verb: &[u8]) -> Result<Self, CommandError> {
        let mut upper = [0; 8];
        let upper = upper.get_mut(..verb.len()).ok_or(CommandError::Unknown)?;
        upper.copy_from_slice(verb);
        upper.make_ascii_uppercase();
        Ok(match &*upper {
            b"EHLO" => Self::Ehlo,
            b"HELO" => Self::Helo,
            b"MAIL" => Self::Mail,
            b"RCPT" => Self::Rcpt,
            b"DATA" => Self::Data,
            b"BDAT" => Self::Bdat,
            b"RSET" => Self::Rset,
            b"NOOP" => Self::Noop,
            b"QUIT" => Self::Quit,
            b"VRFY" => Self::Vrfy,
            b"EXPN" => Self::Expn,
            b"HELP" => Self::Help,
            b"STARTTLS" => Self::StartTls,
            b"AUTH" => Self::Auth,
            b"XCLIENT" => Self::XClient,
            b"ETRN" | b"ATRN" | b"BURL" | b"TURN" | b"SEND" | b"SOML" | b"SAML" | b"LHLO" => {
                return Err(CommandError::NotImplemented);
            }
            _ => return Err(CommandError::Unknown),
        })
    }
}

fn without_argument(argument: &[u8], command: Command) -> Result<Command, CommandError> {
    if argument.is_empty() { Ok(command) } else { Err(CommandError::Argument) }
}

fn with_argument(argument: &[u8], command: Command) -> Result<Command, CommandError> {
    if argument.is_empty() { Err(CommandError::Argument) } else { Ok(command) }
}

/// Any printable word will do: real clients send their machine's name, dots or not, and RFC 5321 §4.1.4 forbids to
/// refuse mail because the name does not verify. What it says is only ever shown.
fn client_name(argument: &[u8]) -> Result<Box<str>, CommandError> {
    let word = argument.split(|b| *b == b' ').find(|w| !w.is_empty()).ok_or(CommandError::Argument)?;
    let word = std::str::from_utf8(word).map_err(|_| CommandError::Argument)?;
    if word.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(CommandError::Argument);
    }
    Ok(word.chars().take(MAX_CLIENT_NAME).collect())
}

fn bdat(argument: &[u8]) -> Result<Command, CommandError> {
    let mut words = argument.split(|b| *b == b' ').filter(|w| !w.is_empty());
    let size = words.next().and_then(parameter::number).ok_or(CommandError::Argument)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return Err(CommandError::Argument),
    };
    if words.next().is_some() {
        return Err(CommandError::Argument);
    }
    Ok(Command::Bdat { size, last })
}

fn auth(argument: &[u8]) -> Result<Command, CommandError> {
    let mut words = argument.split(|b| *b == b' ').filter(|w| !w.is_empty());
    let mechanism = words.next().ok_or(CommandError::Argument)?;
    let initial = words.next().map(Into::into);
    if words.next().is_some() {
        return Err(CommandError::Argument);
    }
    Ok(Command::Auth { mechanism: mechanism.into(), initial })
}

fn mail(argument: &[u8], syntax: Syntax) -> Result<Mail, CommandError> {
    let (path, parameters) = path_and_parameters(argument, b"FROM:", syntax, CommandError::ReversePath)?;
    let mut mail = Mail {
        reverse_path: path::reverse_path(path).ok_or(CommandError::ReversePath)?,
        size: None,
        body: Body::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        requires_tls: false,
    };
    parameter::mail(parameters, &mut mail)?;
    if !path.is_ascii() && !mail.smtputf8 {
        return Err(CommandError::NeedsSmtputf8);
    }
    Ok(mail)
}

fn rcpt(argument: &[u8], syntax: Syntax) -> Result<Rcpt, CommandError> {
    let (path, parameters) = path_and_parameters(argument, b"TO:", syntax, CommandError::ForwardPath)?;
    let mut rcpt = Rcpt {
        forward_path: path::forward_path(path).ok_or(CommandError::ForwardPath)?,
        needs_smtputf8: !path.is_ascii(),
        notify: None,
        orcpt: None,
    };
    parameter::rcpt(parameters, &mut rcpt)?;
    Ok(rcpt)
}

/// Splits `FROM:<path> parameters` into the path, without its angle brackets, and the rest.
fn path_and_parameters<'a>(
    argument: &'a [u8],
    keyword: &[u8],
    syntax: Syntax,
    bad_path: CommandError,
) -> Result<(&'a str, &'a [u8]), CommandError> {
    let (head, rest) = argument.split_at_checked(keyword.len()).ok_or(CommandError::Argument)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(CommandError::Argument);
    }
    let rest = if syntax == Syntax::Lenient { rest.trim_ascii_start() } else { rest };
    let (path, parameters) = match rest.strip_prefix(b"<") {
        Some(rest) => {
            let end = path::end(rest).ok_or(bad_path)?;
            let (path, rest) = rest.split_at(end);
            let parameters = rest.strip_prefix(b">").unwrap_or_default();
            if !parameters.is_empty() && !parameters.starts_with(b" ") {
                return Err(CommandError::Argument);
            }
            (path, parameters)
        }
        None if syntax == Syntax::Lenient && !rest.is_empty() => {
            rest.split_at(rest.iter().position(|b| *b == b' ').unwrap_or(rest.len()))
        }
        None => return Err(bad_path),
    };
    if path.len() > MAX_PATH {
        return Err(bad_path);
    }
    Ok((std::str::from_utf8(path).map_err(|_| bad_path)?, parameters))
}

/// RFC 5321 §4.5.3.1.3 gives a path 256 octets; a source route, which is ignored, may take as much again.
const MAX_PATH: usize = 512;
/// The longest domain (RFC 5321 §4.5.3.1.2).
const MAX_CLIENT_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::Address;

    fn parse(line: &str) -> Result<Command, CommandError> {
        Command::parse(line.as_bytes(), Syntax::Strict)
    }

    fn plain_mail(address: &str) -> Mail {
        Mail {
            reverse_path: ReversePath::Address(Address::parse(address).unwrap()),
            size: None,
            body: Body::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            requires_tls: false,
        }
    }

    #[test]
    fn simple_commands() {
        use CommandError::{Argument, NotImplemented, Unknown};
        for (line, want) in [
            ("NOOP", Ok(Command::Noop)),
            ("noop anything at all", Ok(Command::Noop)),
            ("NOOP \0", Err(Argument)),
            ("NOOP a\nMAIL FROM:<a@b.test>", Err(Argument)),
            ("rSeT", Ok(Command::Rset)),
            ("RSET  ", Ok(Command::Rset)),
            ("RSET x", Err(Argument)),
            ("QUIT", Ok(Command::Quit)),
            ("QUIT now", Err(Argument)),
            ("DATA", Ok(Command::Data)),
            ("DATA x", Err(Argument)),
            ("VRFY alice", Ok(Command::Vrfy)),
            ("VRFY", Err(Argument)),
            ("EXPN list", Ok(Command::Expn)),
            ("HELP", Ok(Command::Help)),
            ("HELP MAIL", Ok(Command::Help)),
            ("STARTTLS", Ok(Command::StartTls)),
            ("STARTTLS now", Err(Argument)),
            ("EHLO client.test", Ok(Command::Ehlo("client.test".into()))),
            ("EHLO [192.0.2.1]", Ok(Command::Ehlo("[192.0.2.1]".into()))),
            ("EHLO my machine", Ok(Command::Ehlo("my".into()))),
            ("HELO x_y", Ok(Command::Helo("x_y".into()))),
            ("EHLO", Err(Argument)),
            ("EHLO  ", Err(Argument)),
            ("HELO a\tb", Err(Argument)),
            ("BDAT 10", Ok(Command::Bdat { size: 10, last: false })),
            ("BDAT 0 last", Ok(Command::Bdat { size: 0, last: true })),
            ("BDAT", Err(Argument)),
            ("BDAT -1", Err(Argument)),
            ("BDAT +1", Err(Argument)),
            ("BDAT 1 FIRST", Err(Argument)),
            ("BDAT 1 LAST x", Err(Argument)),
            ("BDAT 99999999999999999999999", Err(Argument)),
            ("ETRN x", Err(NotImplemented)),
            ("", Err(Unknown)),
            (" NOOP", Err(Unknown)),
            ("NOOPX", Err(Unknown)),
            ("GET / HTTP/1.1", Err(Unknown)),
            ("XCLIENT ADDR=192.0.2.1", Ok(Command::XClient((*b"ADDR=192.0.2.1").into()))),
            ("AUTH", Err(Argument)),
            ("AUTH PLAIN a b", Err(Argument)),
            ("AUTH LOGIN", Ok(Command::Auth { mechanism: (*b"LOGIN").into(), initial: None })),
            ("AUTH PLAIN =", Ok(Command::Auth { mechanism: (*b"PLAIN").into(), initial: Some((*b"=").into()) })),
        ] {
            assert_eq!(parse(line), want, "{line}");
        }
        assert_eq!(Command::parse(b"EHLO \xff", Syntax::Strict), Err(Argument));
        assert_eq!(Command::parse(b"\xff\0", Syntax::Strict), Err(Unknown));
    }

    #[test]
    fn mail_paths() {
        use CommandError::{Argument, NeedsSmtputf8, ReversePath as BadPath};
        for (line, want) in [
            ("MAIL FROM:<a@b.test>", Ok("<a@b.test>")),
            ("mail from:<A@B.test>", Ok("<A@b.test>")),
            ("MAIL FROM:<>", Ok("<>")),
            ("MAIL FROM:<@r.test,@s.test:a@b.test>", Ok("<a@b.test>")),
            ("MAIL FROM:<\"a > b\"@b.test>", Ok("<\"a > b\"@b.test>")),
            ("MAIL FROM:<a@[192.0.2.1]>", Ok("<a@[192.0.2.1]>")),
            ("MAIL FROM:<a@b.test", Err(BadPath)),
            ("MAIL FROM:<a@b.test>x", Err(Argument)),
            ("MAIL FROM:<a@b.test>>", Err(Argument)),
            ("MAIL FROM:<a>", Err(BadPath)),
            ("MAIL FROM:<postmaster>", Err(BadPath)),
            ("MAIL FROM:<@>", Err(BadPath)),
            ("MAIL FROM:<@a.test>", Err(BadPath)),
            ("MAIL FROM:<@a.test:>", Err(BadPath)),
            ("MAIL FROM:<a b@c.test>", Err(BadPath)),
            ("MAIL FROM:< >", Err(BadPath)),
            ("MAIL FROM: <a@b.test>", Err(BadPath)),
            ("MAIL FROM:a@b.test", Err(BadPath)),
            ("MAIL FROM :<a@b.test>", Err(Argument)),
            ("MAIL  FROM:<a@b.test>", Err(Argument)),
            ("MAIL <a@b.test>", Err(Argument)),
            ("MAIL", Err(Argument)),
            ("MAIL TO:<a@b.test>", Err(Argument)),
            ("MAIL FROM:<\u{e9}@b.test>", Err(NeedsSmtputf8)),
            ("MAIL FROM:<a@\u{e9}.test>", Err(NeedsSmtputf8)),
            ("MAIL FROM:<\u{e9}@b.test> SMTPUTF8", Ok("<\u{e9}@b.test>")),
        ] {
            let got = parse(line).map(|command| match command {
                Command::Mail(mail) => mail.reverse_path.to_string(),
                other => panic!("{other:?}"),
            });
            assert_eq!(got.as_deref().map_err(|e| *e), want, "{line}");
        }
        let long = format!("MAIL FROM:<{}@b.test>", "a".repeat(65));
        assert_eq!(parse(&long), Err(BadPath));
    }

    #[test]
    fn submission_takes_what_clients_send() {
        for line in ["MAIL FROM: <a@b.test>", "MAIL FROM:a@b.test", "MAIL FROM:   a@b.test  ", "MAIL FROM:<a@b.test>"] {
            assert_eq!(
                Command::parse(line.as_bytes(), Syntax::Lenient),
                Ok(Command::Mail(plain_mail("a@b.test"))),
                "{line}"
            );
        }
        let sized = Mail { size: Some(7), ..plain_mail("a@b.test") };
        assert_eq!(Command::parse(b"MAIL FROM: a@b.test SIZE=7", Syntax::Lenient), Ok(Command::Mail(sized)));
        for line in ["MAIL FROM:", "MAIL FROM: ", "RCPT TO:"] {
            assert!(Command::parse(line.as_bytes(), Syntax::Lenient).is_err(), "{line}");
        }
    }

    #[test]
    fn rcpt_paths() {
        use CommandError::{Argument, ForwardPath as BadPath};
        for (line, want) in [
            ("RCPT TO:<a@b.test>", Ok("<a@b.test>")),
            ("RCPT TO:<PostMaster>", Ok("<postmaster>")),
            ("RCPT TO:<@r.test:a@b.test>", Ok("<a@b.test>")),
            ("RCPT TO:<a%c.test@b.test>", Ok("<a%c.test@b.test>")),
            ("RCPT TO:<\"a@c.test\"@b.test>", Ok("<\"a@c.test\"@b.test>")),
            ("RCPT TO:<c.test!a@b.test>", Ok("<c.test!a@b.test>")),
            ("RCPT TO:<>", Err(BadPath)),
            ("RCPT TO:<a>", Err(BadPath)),
            ("RCPT TO:<a@b@c.test>", Err(BadPath)),
            ("RCPT TO:<@r.test:postmaster>", Err(BadPath)),
            ("RCPT FROM:<a@b.test>", Err(Argument)),
        ] {
            let got = parse(line).map(|command| match command {
                Command::Rcpt(rcpt) => rcpt.forward_path.to_string(),
                other => panic!("{other:?}"),
            });
            assert_eq!(got.as_deref().map_err(|e| *e), want, "{line}");
        }
    }

    /// What both parsers take as MAIL or RCPT, both must understand alike.
    #[test]
    fn smtp_proto_agrees() {
        use smtp_proto::Request;
        for line in [
            "EHLO client.test",
            "HELO client.test",
            "MAIL FROM:<a@b.test>",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b.test> SIZE=1000 BODY=8BITMIME",
            "MAIL FROM:<a@b.test> BODY=7BIT RET=HDRS ENVID=abc",
            "MAIL FROM:<a@b.test> SMTPUTF8 RET=FULL",
            "RCPT TO:<a@b.test>",
            "RCPT TO:<a@b.test> NOTIFY=SUCCESS,FAILURE,DELAY",
            "RCPT TO:<a@b.test> NOTIFY=NEVER",
            "RCPT TO:<a@b.test> ORCPT=rfc822;a@b.test",
            "DATA",
            "BDAT 86",
            "BDAT 86 LAST",
            "BDAT 0 LAST",
            "RSET",
            "QUIT",
            "NOOP",
            "VRFY a",
            "EXPN a",
            "HELP",
            "STARTTLS",
        ] {
            let ours = parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let octets = format!("{line}\r\n");
            let theirs = Request::parse(&mut octets.as_bytes().iter()).unwrap_or_else(|e| panic!("{line}: {e:?}"));
            assert!(agree(&ours, &theirs), "{line}: {ours:?} against {theirs:?}");
        }
    }

    fn agree(ours: &Command, theirs: &smtp_proto::Request<std::borrow::Cow<'_, str>>) -> bool {
        use smtp_proto::Request as T;
        match (ours, theirs) {
            (Command::Ehlo(name), T::Ehlo { host }) | (Command::Helo(name), T::Helo { host }) => **name == **host,
            (Command::Mail(mail), T::Mail { from }) => {
                let address = match &mail.reverse_path {
                    ReversePath::Null => String::new(),
                    ReversePath::Address(a) => a.to_string(),
                };
                let flag = |bit| from.flags & bit != 0;
                address.eq_ignore_ascii_case(&from.address)
                    && mail.size.unwrap_or(0) == from.size as u64
                    && (mail.body == Body::EightBitMime) == flag(smtp_proto::MAIL_BODY_8BITMIME)
                    && mail.smtputf8 == flag(smtp_proto::MAIL_SMTPUTF8)
                    && (mail.ret == Some(Ret::Full)) == flag(smtp_proto::MAIL_RET_FULL)
                    && (mail.ret == Some(Ret::Headers)) == flag(smtp_proto::MAIL_RET_HDRS)
                    && mail.envid.as_deref() == from.env_id.as_deref()
            }
            (Command::Rcpt(rcpt), T::Rcpt { to }) => {
                let notify = rcpt.notify.unwrap_or_default();
                let flag = |bit| to.flags & bit != 0;
                rcpt.forward_path.to_string().eq_ignore_ascii_case(&format!("<{}>", to.address))
                    && notify.success == flag(smtp_proto::RCPT_NOTIFY_SUCCESS)
                    && notify.failure == flag(smtp_proto::RCPT_NOTIFY_FAILURE)
                    && notify.delay == flag(smtp_proto::RCPT_NOTIFY_DELAY)
                    && rcpt.notify.is_some_and(Notify::is_never) == flag(smtp_proto::RCPT_NOTIFY_NEVER)
            }
            (Command::Data, T::Data)
            | (Command::Rset, T::Rset)
            | (Command::Quit, T::Quit)
            | (Command::Noop, T::Noop { .. })
            | (Command::Vrfy, T::Vrfy { .. })
            | (Command::Expn, T::Expn { .. })
            | (Command::Help, T::Help { .. })
            | (Command::StartTls, T::StartTls) => true,
            (Command::Bdat { size, last }, T::Bdat { chunk_size, is_last }) => {
                *size == *chunk_size as u64 && last == is_last
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn any_line_is_answered(line in proptest::collection::vec(any::<u8>(), 0..200), lenient: bool) {
            let _ = Command::parse(&line, if lenient { Syntax::Lenient } else { Syntax::Strict });
        }

        /// Whatever strict parsing takes, lenient parsing takes as the same.
        #[test]
        fn lenient_only_adds(
            line in "(MAIL FROM:|RCPT TO:) ?<?[a@.\"\\\\%: é]{0,12}>?( (SIZE=[0-9]{1,3}|SMTPUTF8|NOTIFY=NEVER))?"
        ) {
            if let Ok(command) = Command::parse(line.as_bytes(), Syntax::Strict) {
                prop_assert_eq!(Command::parse(line.as_bytes(), Syntax::Lenient), Ok(command));
            }
        }

        /// An address that was taken is written back as one that is taken and is the same.
        #[test]
        fn paths_round_trip(path in "[a@.\"\\\\ !%é]{1,10}@[a-c.\\[\\]:0-9]{1,8}") {
            let line = format!("RCPT TO:<{path}>");
            if let Ok(Command::Rcpt(rcpt)) = Command::parse(line.as_bytes(), Syntax::Strict) {
                let again = format!("RCPT TO:{}", rcpt.forward_path);
                prop_assert_eq!(Command::parse(again.as_bytes(), Syntax::Strict), Ok(Command::Rcpt(rcpt)));
            }
        }
    }
}
