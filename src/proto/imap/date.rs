//! Dates (RFC 3501 §9 `date`, `date-time`).

use std::fmt;

use super::cursor::{Cursor, Parsed};
use super::parse::ParseError;
use crate::mail::Timestamp;

/// A day of the calendar, without a time zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    /// Days since 1970-01-01.
    days: i32,
}

impl Date {
    /// From year (0 to 9999), month (1 to 12) and day; `None` if there is no such day.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let date = Self { days: days_from_calendar(year, month, day)? };
        (date.calendar() == (year, month, day)).then_some(date)
    }

    /// The day of this time in UTC, the zone in which INTERNALDATE is shown.
    pub fn of(time: Timestamp) -> Self {
        let days = time.seconds().div_euclid(DAY);
        Self { days: i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }) }
    }

    /// From `date-text`, as `1-Feb-1994`, day with one or two digits, month in any case; without quotes.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(octets);
        let date = Self::read_text(&mut cursor).ok()?;
        cursor.end().ok()?;
        Some(date)
    }

    /// `date`: with quotes or without.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let quoted = cursor.eat(b'"');
        let date = Self::read_text(cursor)?;
        if quoted {
            cursor.expect(b'"', DATE)?;
        }
        Ok(date)
    }

    fn read_text(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let day = digits(cursor, 1, 2)?;
        Self::read_month_and_year(cursor, day)
    }

    fn read_month_and_year(cursor: &mut Cursor<'_>, day: u32) -> Parsed<Self> {
        cursor.expect(b'-', DATE)?;
        let name = cursor.take_while(|b| b.is_ascii_alphabetic());
        let month = (1..).zip(MONTHS).find(|(_, month)| name.eq_ignore_ascii_case(month.as_bytes()));
        cursor.expect(b'-', DATE)?;
        let year = digits(cursor, 4, 4)?;
        let date = month.and_then(|(month, _)| Self::new(i32::try_from(year).ok()?, month, day));
        date.ok_or(ParseError::Expected(DATE))
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.days
    }

    /// Year, month, day.
    fn calendar(self) -> (i32, u32, u32) {
        // Counted from 1 March of the year 0, so that the leap day is the last of its year.
        let days = i64::from(self.days) + MARCH_YEAR_0;
        let era = days.div_euclid(DAYS_IN_400_YEARS);
        let day_of_era = days.rem_euclid(DAYS_IN_400_YEARS);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        // Days fit in 32 bits, so years, months and days do.
        ((era * 400 + year_of_era + next_year) as i32, month as u32, day as u32)
    }
}

/// `date-text`, day without leading zero.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.calendar();
        write!(f, "{day}-{}-{year:04}", month_name(month))
    }
}

/// `None` if the numbers lie outside of what a calendar has; a day that its month does not have gives one of the next.
fn days_from_calendar(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) =
        if month > 2 { (i64::from(year), i64::from(month) - 3) } else { (i64::from(year) - 1, i64::from(month) + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * DAYS_IN_400_YEARS + day_of_era - MARCH_YEAR_0).ok()
}

/// From the inside of the quotes of `date-time`, as ` 2-Nov-2026 04:19:24 +0100`. `None` if it is none, or no such
/// time exists.
pub fn parse_date_time(octets: &[u8]) -> Option<Timestamp> {
    let mut cursor = Cursor::new(octets);
    let time = read_date_time(&mut cursor).ok()?;
    cursor.end().ok()?;
    Some(time)
}

pub(super) fn read_date_time(cursor: &mut Cursor<'_>) -> Parsed<Timestamp> {
    // date-day-fixed: a space or a digit, and a digit.
    let day = if cursor.eat(b' ') { digits(cursor, 1, 1)? } else { digits(cursor, 2, 2)? };
    let date = Date::read_month_and_year(cursor, day)?;
    cursor.expect(b' ', DATE_TIME)?;
    let hour = digits(cursor, 2, 2)?;
    cursor.expect(b':', DATE_TIME)?;
    let minute = digits(cursor, 2, 2)?;
    cursor.expect(b':', DATE_TIME)?;
    let second = digits(cursor, 2, 2)?;
    cursor.expect(b' ', DATE_TIME)?;
    let west = match cursor.take_one() {
        Some(b'+') => false,
        Some(b'-') => true,
        _ => return Err(ParseError::Expected(DATE_TIME)),
    };
    let (zone_hours, zone_minutes) = (digits(cursor, 2, 2)?, digits(cursor, 2, 2)?);
    // 60 is a leap second, counted as the next minute's first.
    if hour > 23 || minute > 59 || second > 60 || zone_hours > 23 || zone_minutes > 59 {
        return Err(ParseError::Expected(DATE_TIME));
    }
    let offset = i64::from(zone_hours * 3600 + zone_minutes * 60);
    let local = i64::from(date.days) * DAY + i64::from(hour * 3600 + minute * 60 + second);
    Ok(Timestamp::from_seconds(if west { local + offset } else { local - offset }))
}

/// INTERNALDATE in UTC with its quotes: `" 2-Nov-2026 04:19:24 +0000"`. Times outside the years 0 to 9999 are shown
/// as the nearest that can be.
pub fn format_date_time(time: Timestamp) -> String {
    let seconds = time.seconds().clamp(FIRST_SECOND, LAST_SECOND);
    let (year, month, day) = Date::of(Timestamp::from_seconds(seconds)).calendar();
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("\"{day:2}-{}-{year:04} {hour:02}:{minute:02}:{second:02} +0000\"", month_name(month))
}

/// A number of `least` to `most` digits, no more.
fn digits(cursor: &mut Cursor<'_>, least: usize, most: usize) -> Parsed<u32> {
    let rest = cursor.rest();
    let n = rest.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    if n < least {
        return Err(ParseError::Expected(DATE));
    }
    Ok((0..n).fold(0, |value, _| value * 10 + cursor.take_one().map_or(0, |b| u32::from(b.wrapping_sub(b'0')))))
}

fn month_name(month: u32) -> &'static str {
    MONTHS.get((month as usize).saturating_sub(1)).copied().unwrap_or("Jan")
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;
const DAYS_IN_400_YEARS: i64 = 146_097;
/// Days from 1 March of the year 0 to 1970-01-01.
const MARCH_YEAR_0: i64 = 719_468;
/// 0000-01-01T00:00:00Z
const FIRST_SECOND: i64 = -62_167_219_200;
/// 9999-12-31T23:59:59Z
const LAST_SECOND: i64 = 253_402_300_799;
const DATE: &str = "date";
const DATE_TIME: &str = "date-time";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates() {
        for (case, text, days) in [
            ("the epoch", "1-Jan-1970", Some(0)),
            ("two digits", "01-Jan-1970", Some(0)),
            ("month in any case", "1-fEB-1994", Some(8797)),
            ("before the epoch", "31-Dec-1969", Some(-1)),
            ("leap day", "29-Feb-2000", Some(11_016)),
            ("no leap day", "29-Feb-1900", None),
            ("last day", "31-Dec-9999", Some(2_932_896)),
            ("first day", "1-Jan-0000", Some(-719_528)),
            ("no such day", "31-Apr-2026", None),
            ("day 0", "0-Apr-2026", None),
            ("no such month", "1-Foo-2026", None),
            ("month in full", "1-April-2026", None),
            ("two-digit year", "1-Apr-26", None),
            ("five-digit year", "1-Apr-20266", None),
            ("three-digit day", "001-Apr-2026", None),
            ("leading space", " 1-Apr-2026", None),
        ] {
            assert_eq!(Date::parse(text.as_bytes()).map(Date::days), days, "{case}");
        }
    }

    #[test]
    fn date_times() {
        for (text, seconds) in [
            // RFC 3501 §2.3.3 and §7.4.2 forms.
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            (" 2-Nov-2026 04:19:24 +0000", Some(1_793_593_164)),
            (" 2-nov-2026 05:19:24 +0100", Some(1_793_593_164)),
            ("02-Nov-2026 04:19:60 +0000", Some(1_793_593_200)),
            ("2-Nov-2026 04:19:24 +0000", None),
            (" 12-Nov-2026 04:19:24 +0000", None),
            (" 2-Nov-2026 24:19:24 +0000", None),
            (" 2-Nov-2026 04:60:24 +0000", None),
            (" 2-Nov-2026 04:19:61 +0000", None),
            (" 2-Nov-2026 04:19:24 +0060", None),
            (" 2-Nov-2026 04:19:24 +-0100", None),
            (" 2-Nov-2026 04:19:24 UTC", None),
            (" 2-Nov-2026 04:19:24", None),
            (" 2-Nov-2026 04:19:24 +00000", None),
            ("31-Feb-2026 04:19:24 +0000", None),
        ] {
            assert_eq!(parse_date_time(text.as_bytes()).map(Timestamp::seconds), seconds, "{text}");
        }
        assert_eq!(format_date_time(Timestamp::from_millis(1_793_593_164_999)), "\" 2-Nov-2026 04:19:24 +0000\"");
        assert_eq!(format_date_time(Timestamp::from_millis(i64::MIN)), "\" 1-Jan-0000 00:00:00 +0000\"");
        assert_eq!(format_date_time(Timestamp::from_millis(i64::MAX)), "\"31-Dec-9999 23:59:59 +0000\"");
    }

    proptest! {
        #[test]
        fn a_date_reads_back(days in -719_528i32..=2_932_896) {
            let date = Date { days };
            prop_assert_eq!(Date::parse(date.to_string().as_bytes()), Some(date));
        }

        #[test]
        fn a_time_reads_back(seconds in FIRST_SECOND..=LAST_SECOND) {
            let time = Timestamp::from_seconds(seconds);
            let text = format_date_time(time);
            prop_assert_eq!(parse_date_time(text.trim_matches('"').as_bytes()), Some(time));
        }

        #[test]
        fn the_calendar_is_jiffs(days in -719_528i64..2_932_800) {
            let day = jiff::Timestamp::from_second(days * DAY).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
            let date = Date::of(Timestamp::from_seconds(days * DAY + 86_399));
            prop_assert_eq!(date.calendar(), (i32::from(day.year()), day.month() as u32, day.day() as u32));
        }
    }
}
