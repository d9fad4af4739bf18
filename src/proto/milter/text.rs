//! Strings that end with NUL, and numbers in network order.

/// Appends a string. A NUL within it would end it early, so it goes out as a space.
pub(super) fn push_string(octets: &[u8], out: &mut Vec<u8>) {
    out.extend(octets.iter().map(|octet| if *octet == 0 { b' ' } else { *octet }));
    out.push(0);
}

/// Appends several.
pub(super) fn push_strings<'a>(strings: impl IntoIterator<Item = &'a Vec<u8>>, out: &mut Vec<u8>) {
    strings.into_iter().for_each(|string| push_string(string, out));
}

/// The first string, and what follows it.
pub(super) fn string(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, octets)?;
    Some((octets.get(..end)?, octets.get(end.saturating_add(1)..)?))
}

/// The string that is all there is.
pub(super) fn only_string(octets: &[u8]) -> Option<Vec<u8>> {
    let (string, rest) = string(octets)?;
    rest.is_empty().then(|| string.to_vec())
}

/// All strings up to the end.
pub(super) fn strings(mut octets: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    while !octets.is_empty() {
        let (one, rest) = string(octets)?;
        all.push(one.to_vec());
        octets = rest;
    }
    Some(all)
}

/// Two strings and no more.
pub(super) fn pair(octets: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, rest) = string(octets)?;
    Some((first.to_vec(), only_string(rest)?))
}

/// The first number, and what follows it.
pub(super) fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}
