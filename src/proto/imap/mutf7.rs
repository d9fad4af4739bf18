//! Modified UTF-7 (RFC 3501 §5.1.3).

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Why octets are no mailbox name in modified UTF-7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid modified UTF-7 in mailbox name")]
pub struct Mutf7Error;

/// The one form that RFC 3501 allows for this text.
pub fn encode_mutf7(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shifted = Vec::new();
    for c in text.chars() {
        if !(' '..='~').contains(&c) {
            let mut units = [0; 2];
            shifted.extend(c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
            continue;
        }
        encode_shifted(&mut out, &mut shifted);
        out.push(c);
        if c == '&' {
            out.push('-');
        }
    }
    encode_shifted(&mut out, &mut shifted);
    out
}

fn encode_shifted(out: &mut String, shifted: &mut Vec<u8>) {
    if !shifted.is_empty() {
        out.push('&');
        BASE64.encode_string(&*shifted, out);
        out.push('-');
        shifted.clear();
    }
}

/// To Unicode. Refuses 8-bit octets, a lone `&`, base64 that is not whole or holds a lone surrogate. Forms that are
/// not the canonical one (printable ASCII in base64, two shifts in a row) are read.
pub fn decode_mutf7(octets: &[u8]) -> Result<String, Mutf7Error> {
    let text = std::str::from_utf8(octets).map_err(|_| Mutf7Error)?;
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err(Mutf7Error);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (shifted, plain) = part.split_once('-').ok_or(Mutf7Error)?;
        if shifted.is_empty() {
            out.push('&');
        } else {
            decode_shifted(&mut out, shifted)?;
        }
        out.push_str(plain);
    }
    Ok(out)
}

fn decode_shifted(out: &mut String, shifted: &str) -> Result<(), Mutf7Error> {
    let octets = BASE64.decode(shifted).map_err(|_| Mutf7Error)?;
    let (pairs, []) = octets.as_chunks::<2>() else { return Err(Mutf7Error) };
    for c in char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair))) {
        out.push(c.map_err(|_| Mutf7Error)?);
    }
    Ok(())
}

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ways() {
        for (text, wire) in [
            ("INBOX", "INBOX"),
            ("", ""),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("a&b", "a&-b"),
            ("&&", "&-&-"),
            ("é&é", "&AOk-&-&AOk-"),
            ("😀", "&2D3eAA-"),
            ("\u{ffff}", "&,,8-"),
            ("\t\u{7f}", "&AAkAfw-"),
        ] {
            assert_eq!(encode_mutf7(text), wire);
            assert_eq!(decode_mutf7(wire.as_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_refused_and_what_is_only_unusual() {
        for (case, wire) in [
            ("lone shift", "a&b"),
            ("shift at the end", "a&"),
            ("never shifted back", "&U,BTFw"),
            ("half a code unit", "&AA-"),
            ("trailing bits", "&AOl-"),
            ("padding", "&AOk=-"),
            ("slash of the other alphabet", "&U/BTFw-"),
            ("lone surrogate", "&2D0-"),
            ("surrogates swapped", "&3gDYPQ-"),
            ("shift within shift", "&AO&k-"),
            ("8-bit", "Entw\u{fc}rfe"),
            ("control", "a\tb"),
        ] {
            assert_eq!(decode_mutf7(wire.as_bytes()), Err(Mutf7Error), "{case}");
        }
        assert_eq!(decode_mutf7(b"\xff"), Err(Mutf7Error));
        assert_eq!(decode_mutf7(b"&AGE-").as_deref(), Ok("a"));
        assert_eq!(decode_mutf7(b"&AOk-&AOk-").as_deref(), Ok("éé"));
    }

    proptest! {
        #[test]
        fn decode_reads_what_encode_writes(text in any::<String>()) {
            let wire = encode_mutf7(&text);
            prop_assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode_mutf7(wire.as_bytes()), Ok(text));
        }

        #[test]
        fn what_decodes_has_one_canonical_form(wire in "[&a,/AOk=-]{0,12}") {
            if let Ok(text) = decode_mutf7(wire.as_bytes()) {
                prop_assert_eq!(decode_mutf7(encode_mutf7(&text).as_bytes()), Ok(text));
            }
        }
    }
}
