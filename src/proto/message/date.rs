//! Dates of header fields (RFC 5322 §3.3), read with the obsolete forms (§4.3) and what mailers make of them.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::mail::Timestamp;

/// What a Date field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentDate {
    /// The moment; without a time zone that is understood, UTC is taken (RFC 5322 §4.3).
    pub at: Timestamp,
    /// The calendar day as written: SENTBEFORE, SENTON and SENTSINCE disregard time and time zone (RFC 3501 §6.4.4).
    pub day: Date,
}

impl SentDate {
    /// Reads the value of a Date field; `None` if there is no date in it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = plain(value.get(..value.len().min(MAX_VALUE)).unwrap_or_default());
        let mut tokens = Tokens { rest: &value, time_seen: false };
        let mut token = tokens.next()?;
        // RFC 5322 §3.3: the day of the week may be missing. It is not checked against the day.
        if token.first().is_some_and(u8::is_ascii_alphabetic) && month(token).is_none() {
            token = tokens.next()?;
        }
        let second = tokens.next()?;
        // `asctime` and mailers that copy it put the month first.
        let (day, month, first_of_rest) = match month(token) {
            Some(month) => (number(second)?, month, tokens.next()?),
            None => (number(token)?, self::month(second)?, tokens.next()?),
        };
        let (year, time) = if first_of_rest.contains(&b':') {
            let time = first_of_rest;
            // `asctime`: the year stands behind the time.
            let year = tokens.clone().find(|token| token.len() == 4 && number(token).is_some())?;
            (year, Some(time))
        } else {
            (first_of_rest, tokens.next())
        };
        let day = Date::new(full_year(year)?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        let seconds = time.and_then(seconds_of_day).unwrap_or(0);
        let offset = tokens.find_map(zone_seconds).unwrap_or(0);
        let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        Some(Self { at: Timestamp::from_seconds(midnight + seconds - offset), day })
    }
}

/// A moment as a date of RFC 5322 §3.3, in UTC: `Sun, 22 Nov 2026 04:19:24 +0000`.
pub fn format_date(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_second(at.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let moment = moment.to_zoned(TimeZone::UTC).datetime();
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
        DAYS.get(usize::from(moment.weekday().to_monday_zero_offset().unsigned_abs())).unwrap_or(&"Mon"),
        moment.day(),
        MONTHS.get(usize::from(moment.month().unsigned_abs()).saturating_sub(1)).unwrap_or(&"Jan"),
        moment.year(),
        moment.hour(),
        moment.minute(),
        moment.second(),
    )
}

/// The date and time to the minute, in UTC and in figures, for people who read no English.
pub fn format_numeric_date(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_second(at.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Without comments, and without white space around the colons of the time (RFC 5322 §4.3 has it anywhere).
fn plain(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    let mut depth = 0usize;
    for b in value {
        match b {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b' ' | b'\t' | b'\r' | b'\n' => match out.last() {
                None | Some(b':' | b' ') => {}
                Some(_) => out.push(b' '),
            },
            b':' => {
                out.truncate(out.trim_ascii_end().len());
                out.push(b':');
            }
            _ => out.push(*b),
        }
    }
    out
}

/// Words and numbers; commas, spaces and the dashes of `01-Jan-2020` separate them.
#[derive(Clone)]
struct Tokens<'a> {
    rest: &'a [u8],
    time_seen: bool,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = 0;
        while let Some(&b) = self.rest.get(start) {
            // A dash is the sign of a zone if a time stands before it, else it separates.
            let separates = match b {
                b' ' | b',' => true,
                b'-' => !self.time_seen,
                _ => false,
            };
            if !separates {
                break;
            }
            start += 1;
        }
        let rest = self.rest.get(start..).unwrap_or_default();
        let is_end = |b: &u8| matches!(b, b' ' | b',' | b'-' | b'+');
        let end = rest.iter().skip(1).position(is_end).map_or(rest.len(), |at| at + 1);
        let (token, rest) = rest.split_at(end);
        self.rest = rest;
        self.time_seen |= token.contains(&b':');
        (!token.is_empty()).then_some(token)
    }
}

fn number(token: &[u8]) -> Option<u32> {
    let digits = !token.is_empty() && token.len() <= 4 && token.iter().all(u8::is_ascii_digit);
    digits.then(|| token.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
}

fn month(token: &[u8]) -> Option<usize> {
    let name = token.get(..3)?;
    MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name)).map(|at| at + 1)
}

/// RFC 5322 §4.3: years of two and three digits.
fn full_year(token: &[u8]) -> Option<i16> {
    let year = number(token)?;
    let year = match (token.len(), year) {
        (2, 0..=49) => year + 2000,
        (2 | 3, _) => year + 1900,
        _ => year,
    };
    i16::try_from(year).ok()
}

fn seconds_of_day(token: &[u8]) -> Option<i64> {
    let mut parts = token.split(|b| matches!(b, b':' | b'.'));
    let mut next = |max: u32| parts.next().and_then(number).filter(|n| *n <= max).map(i64::from);
    let hour = next(23)?;
    let minute = next(59)?;
    Some(hour * 3600 + minute * 60 + next(60).unwrap_or(0))
}

/// RFC 5322 §3.3 and §4.3. Zones of one letter are unreliable and count as UTC there.
fn zone_seconds(token: &[u8]) -> Option<i64> {
    if let [sign @ (b'+' | b'-'), digits @ ..] = token {
        let digits: Vec<u8> = digits.iter().copied().filter(|b| *b != b':').collect();
        let number = i64::from(number(&digits).filter(|_| digits.len() == 4)?);
        let seconds = (number / 100) * 3600 + (number % 100) * 60;
        return Some(if *sign == b'-' { -seconds } else { seconds });
    }
    let hours = match token.to_ascii_uppercase().as_slice() {
        b"UT" | b"GMT" | b"UTC" | b"Z" => 0,
        b"EST" | b"CDT" => -5,
        b"EDT" => -4,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => return None,
    };
    Some(hours * 3600)
}

/// No date is longer; the rest is not looked at.
const MAX_VALUE: usize = 512;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form() {
        let rows: &[(&str, i64, (i16, i8, i8))] = &[
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706, (1997, 11, 21)),
            ("21 Nov 97 09:55:06 GMT", 880_106_106, (1997, 11, 21)),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880_127_706, (1997, 11, 21)),
            ("Tue, 1 Jul 2003 10:52:37 +0200", 1_057_049_557, (2003, 7, 1)),
            ("Tue, 1 Jul 2003 10:52 EST", 1_057_049_520 + 7 * 3600, (2003, 7, 1)),
            ("Thu Jan  1 00:00:10 1970", 10, (1970, 1, 1)),
            ("01-Jan-2020 00:00:00 +0000", 1_577_836_800, (2020, 1, 1)),
            ("Wed, 31 Dec 2003 23:30:00 -0800 (PST)", 1_072_942_200, (2003, 12, 31)),
            ("Mon, 1 Jan 0103 00:00:00 Z", -58_916_851_200, (103, 1, 1)),
            ("1 Jan 103 00:00:00 Z", 1_041_379_200, (2003, 1, 1)),
            ("\r\n Fri,\r\n 21 Nov 1997 09:55:06 (a (b) c) -06:00", 880_127_706, (1997, 11, 21)),
        ];
        for (text, at, (year, month, day)) in rows {
            let date = SentDate::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(date.day, Date::new(*year, *month, *day).unwrap(), "{text}");
            assert_eq!(date.at.seconds(), *at, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "yesterday", "32 Jan 2020 00:00:00 Z", "1 Foo 2020", "1 Jan 99999", ",,,", "Mon, 30 Feb 2020"]
        {
            assert_eq!(SentDate::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_formatted_date_is_read_back() {
        assert_eq!(format_date(Timestamp::from_seconds(1_795_321_164)), "Sun, 22 Nov 2026 04:19:24 +0000");
        for seconds in [0, 951_782_400, 1_795_321_164, 4_102_444_799, -1] {
            let at = Timestamp::from_seconds(seconds);
            assert_eq!(SentDate::parse(format_date(at).as_bytes()).unwrap().at, at);
        }
    }
}
