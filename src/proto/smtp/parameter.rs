//! Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954 §5),
//! REQUIRETLS (RFC 8689 §2), and RET, ENVID, NOTIFY, ORCPT of DSN (RFC 3461 §4).

use super::command::{CommandError, Mail, Rcpt};
use super::path;
use crate::mail::{Notify, Ret};

/// What BODY declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// Reads the parameters of MAIL.
pub(super) fn mail(parameters: &[u8], mail: &mut Mail) -> Result<(), CommandError> {
    let mut seen = Seen::default();
    for (keyword, value) in split(parameters) {
        let keyword = seen.keyword(keyword?)?;
        match (keyword, value) {
            (Keyword::Size, Some(value)) => mail.size = Some(size(value)?),
            (Keyword::Body, Some(value)) => mail.body = body(value)?,
            (Keyword::Smtputf8, None) => mail.smtputf8 = true,
            (Keyword::Ret, Some(value)) if value.eq_ignore_ascii_case(b"FULL") => mail.ret = Some(Ret::Full),
            (Keyword::Ret, Some(value)) if value.eq_ignore_ascii_case(b"HDRS") => mail.ret = Some(Ret::Headers),
            (Keyword::Envid, Some(value)) => mail.envid = Some(envid(value)?),
            (Keyword::Auth, Some(value)) => auth(value)?,
            (Keyword::RequireTls, None) => mail.requires_tls = true,
            (Keyword::Notify | Keyword::Orcpt, _) => return Err(CommandError::UnknownParameter),
            _ => return Err(CommandError::Parameter),
        }
    }
    Ok(())
}

/// Reads the parameters of RCPT.
pub(super) fn rcpt(parameters: &[u8], rcpt: &mut Rcpt) -> Result<(), CommandError> {
    let mut seen = Seen::default();
    for (keyword, value) in split(parameters) {
        let keyword = seen.keyword(keyword?)?;
        match (keyword, value) {
            (Keyword::Notify, Some(value)) => rcpt.notify = Some(notify(value)?),
            (Keyword::Orcpt, Some(value)) => rcpt.orcpt = Some(orcpt(value)?),
            (Keyword::Notify | Keyword::Orcpt, None) => return Err(CommandError::Parameter),
            _ => return Err(CommandError::UnknownParameter),
        }
    }
    Ok(())
}

/// Decimal digits; `None` if there are none, others, or too many.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Size,
    Body,
    Smtputf8,
    Ret,
    Envid,
    Auth,
    Notify,
    Orcpt,
    RequireTls,
}

/// Which keywords have come already.
#[derive(Default)]
struct Seen(u16);

impl Seen {
    fn keyword(&mut self, keyword: &[u8]) -> Result<Keyword, CommandError> {
        let (_, known) = KEYWORDS
            .iter()
            .find(|(name, _)| keyword.eq_ignore_ascii_case(name))
            .ok_or(CommandError::UnknownParameter)?;
        let bit = 1 << *known as u8;
        if self.0 & bit != 0 {
            return Err(CommandError::Parameter);
        }
        self.0 |= bit;
        Ok(*known)
    }
}

const KEYWORDS: [(&[u8], Keyword); 9] = [
    (b"SIZE", Keyword::Size),
    (b"BODY", Keyword::Body),
    (b"SMTPUTF8", Keyword::Smtputf8),
    (b"RET", Keyword::Ret),
    (b"ENVID", Keyword::Envid),
    (b"AUTH", Keyword::Auth),
    (b"NOTIFY", Keyword::Notify),
    (b"ORCPT", Keyword::Orcpt),
    (b"REQUIRETLS", Keyword::RequireTls),
];

type Parameter<'a> = (Result<&'a [u8], CommandError>, Option<&'a [u8]>);

/// `esmtp-keyword ["=" esmtp-value]`, separated by spaces (RFC 5321 §4.1.2).
fn split(parameters: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    parameters.split(|b| *b == b' ').filter(|p| !p.is_empty()).map(|parameter| {
        let (keyword, value) = match parameter.iter().position(|b| *b == b'=') {
            Some(equals) => (parameter.get(..equals), parameter.get(equals + 1..)),
            None => (Some(parameter), None),
        };
        let keyword = keyword.unwrap_or_default();
        let is_keyword = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
            && keyword.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        (if is_keyword { Ok(keyword) } else { Err(CommandError::Parameter) }, value)
    })
}

/// RFC 1870 §4: 1 to 20 digits. More than we can count is surely too big, and refused as that.
fn size(value: &[u8]) -> Result<u64, CommandError> {
    if value.is_empty() || value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return Err(CommandError::Parameter);
    }
    Ok(number(value).unwrap_or(u64::MAX))
}

fn body(value: &[u8]) -> Result<Body, CommandError> {
    if value.eq_ignore_ascii_case(b"7BIT") {
        Ok(Body::SevenBit)
    } else if value.eq_ignore_ascii_case(b"8BITMIME") {
        Ok(Body::EightBitMime)
    } else if value.eq_ignore_ascii_case(b"BINARYMIME") {
        // RFC 3030 §3: not offered, since content with bare CR or LF is never taken.
        Err(CommandError::UnknownParameter)
    } else {
        Err(CommandError::Parameter)
    }
}

/// RFC 3461 §4.4: at most 100 characters, printable.
fn envid(value: &[u8]) -> Result<Box<str>, CommandError> {
    let text = xtext(value).filter(|_| (1..=100).contains(&value.len())).ok_or(CommandError::Parameter)?;
    if !text.iter().all(|b| (b' '..=b'~').contains(b)) {
        return Err(CommandError::Parameter);
    }
    Ok(text.iter().map(|b| char::from(*b)).collect())
}

/// RFC 4954 §5. Checked and forgotten: nobody who sends here is trusted to speak for others, so that the parameter
/// always counts as `AUTH=<>`.
fn auth(value: &[u8]) -> Result<(), CommandError> {
    let text = xtext(value).filter(|t| t.len() <= 512).ok_or(CommandError::Parameter)?;
    let text = String::from_utf8(text).map_err(|_| CommandError::Parameter)?;
    let path = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(&text);
    if text.is_empty() || path::reverse_path(path).is_none() {
        return Err(CommandError::Parameter);
    }
    Ok(())
}

/// RFC 3461 §4.1: `NEVER` alone, or a list of the others.
fn notify(value: &[u8]) -> Result<Notify, CommandError> {
    if value.eq_ignore_ascii_case(b"NEVER") {
        return Ok(Notify::default());
    }
    let mut notify = Notify::default();
    for word in value.split(|b| *b == b',') {
        let flag = if word.eq_ignore_ascii_case(b"SUCCESS") {
            &mut notify.success
        } else if word.eq_ignore_ascii_case(b"FAILURE") {
            &mut notify.failure
        } else if word.eq_ignore_ascii_case(b"DELAY") {
            &mut notify.delay
        } else {
            return Err(CommandError::Parameter);
        };
        *flag = true;
    }
    Ok(notify)
}

/// RFC 3461 §4.2, and RFC 6533 §3 for `utf-8` addresses, which may stand there as they are.
fn orcpt(value: &[u8]) -> Result<Box<str>, CommandError> {
    let text = std::str::from_utf8(value).ok().filter(|t| t.len() <= 500).ok_or(CommandError::Parameter)?;
    let (kind, address) = text.split_once(';').ok_or(CommandError::Parameter)?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_address = if kind.eq_ignore_ascii_case("utf-8") {
        address.chars().all(|c| !c.is_control() && c != ' ')
    } else {
        xtext(address.as_bytes()).is_some()
    };
    if !is_kind || address.is_empty() || !is_address {
        return Err(CommandError::Parameter);
    }
    Ok(text.into())
}

/// What ORCPT says, for Original-Recipient (RFC 3464 §2.3.1): its type, and the address without xtext; of addresses beyond
/// ASCII the form for 7-bit transport (RFC 6533 §3). A parameter that was read before.
pub fn original_recipient(orcpt: &str) -> String {
    let Some((kind, address)) = orcpt.split_once(';') else { return String::new() };
    let address = if kind.eq_ignore_ascii_case("utf-8") {
        address.to_owned()
    } else {
        xtext(address.as_bytes()).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default()
    };
    let seven_bit = |c: char| match c {
        ' '..='~' => c.to_string(),
        c => format!("\\x{{{:02X}}}", u32::from(c)),
    };
    format!("{kind};{}", address.chars().map(seven_bit).collect::<String>())
}

/// `xtext` (RFC 3461 §4): printable characters, with `+` and two hexadecimal digits for the others.
pub(super) fn xtext(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(b) = rest.next() {
        match b {
            b'+' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                text.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
            }
            b'=' => return None,
            b'!'..=b'~' => text.push(*b),
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::super::{Command, CommandError, Syntax};
    use super::*;

    fn of_mail(parameters: &str) -> Result<Mail, CommandError> {
        match Command::parse(format!("MAIL FROM:<a@b.test> {parameters}").as_bytes(), Syntax::Strict)? {
            Command::Mail(mail) => Ok(mail),
            other => panic!("{other:?}"),
        }
    }

    fn of_rcpt(parameters: &str) -> Result<Rcpt, CommandError> {
        match Command::parse(format!("RCPT TO:<a@b.test> {parameters}").as_bytes(), Syntax::Strict)? {
            Command::Rcpt(rcpt) => Ok(rcpt),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mail_parameters() {
        let mail = of_mail("size=1000 body=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=<> ").unwrap();
        assert_eq!(mail.size, Some(1000));
        assert_eq!(mail.body, Body::EightBitMime);
        assert!(mail.smtputf8);
        assert_eq!(mail.ret, Some(Ret::Headers));
        assert_eq!(mail.envid.as_deref(), Some("a+b"));
        assert_eq!(of_mail("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
        assert!(of_mail("AUTH=e+3Dmc2@example.com").is_ok());
        assert!(of_mail("requiretls").is_ok_and(|mail| mail.requires_tls));
        for (parameters, want) in [
            ("FOO", CommandError::UnknownParameter),
            ("FOO=bar", CommandError::UnknownParameter),
            ("BODY=BINARYMIME", CommandError::UnknownParameter),
            ("NOTIFY=NEVER", CommandError::UnknownParameter),
            ("REQUIRETLS=yes", CommandError::Parameter),
            ("=x", CommandError::Parameter),
            ("F_OO=bar", CommandError::Parameter),
            ("SIZE", CommandError::Parameter),
            ("SIZE=", CommandError::Parameter),
            ("SIZE=-1", CommandError::Parameter),
            ("SIZE=1x", CommandError::Parameter),
            ("SIZE=999999999999999999999", CommandError::Parameter),
            ("SIZE=1 SIZE=1", CommandError::Parameter),
            ("BODY=9BIT", CommandError::Parameter),
            ("SMTPUTF8=yes", CommandError::Parameter),
            ("RET=SOME", CommandError::Parameter),
            ("ENVID=", CommandError::Parameter),
            ("ENVID=a+", CommandError::Parameter),
            ("ENVID=a+2", CommandError::Parameter),
            ("ENVID=+0D+0A", CommandError::Parameter),
            ("AUTH=", CommandError::Parameter),
            ("AUTH=nobody", CommandError::Parameter),
        ] {
            assert_eq!(of_mail(parameters).map(|_| ()), Err(want), "{parameters}");
        }
        assert!(of_mail(&format!("ENVID={}", "a".repeat(101))).is_err());
    }

    #[test]
    fn rcpt_parameters() {
        let rcpt = of_rcpt("NOTIFY=success,DELAY ORCPT=rfc822;a+2Bb@c.test").unwrap();
        assert_eq!(rcpt.notify, Some(Notify { success: true, failure: false, delay: true }));
        assert_eq!(rcpt.orcpt.as_deref(), Some("rfc822;a+2Bb@c.test"));
        assert!(of_rcpt("ORCPT=utf-8;\u{e9}@c.test").is_ok());
        for (orcpt, want) in [
            ("rfc822;a+2Bb@c.test", "rfc822;a+b@c.test"),
            ("rfc822;a+0D+0Ab@c.test", "rfc822;a\\x{0D}\\x{0A}b@c.test"),
            ("utf-8;\u{e9}@c.test", "utf-8;\\x{E9}@c.test"),
            ("X-400;c=de", "X-400;c=de"),
        ] {
            let given = orcpt.replace("c=de", "c+3Dde");
            assert_eq!(original_recipient(&given), want, "{orcpt}");
        }
        for (parameters, want) in [
            ("SIZE=1", CommandError::UnknownParameter),
            ("FOO=1", CommandError::UnknownParameter),
            ("NOTIFY", CommandError::Parameter),
            ("NOTIFY=", CommandError::Parameter),
            ("NOTIFY=NEVER,SUCCESS", CommandError::Parameter),
            ("NOTIFY=SUCCESS,", CommandError::Parameter),
            ("NOTIFY=NEVER NOTIFY=NEVER", CommandError::Parameter),
            ("ORCPT=a@b.test", CommandError::Parameter),
            ("ORCPT=rfc822;", CommandError::Parameter),
            ("ORCPT=rfc822;\u{e9}@b.test", CommandError::Parameter),
        ] {
            assert_eq!(of_rcpt(parameters).map(|_| ()), Err(want), "{parameters}");
        }
    }
}
