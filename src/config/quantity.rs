//! Amounts with a unit: `"64 MiB"`, `"5 min"`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A number of octets, written as an integer or with a unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub u64);

/// A duration, always written with a unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(pub Duration);

impl Size {
    /// From text such as `64 MiB`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(factor).map(Self)
    }
}

impl Time {
    /// From text such as `5 min`.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "min" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        // Sums with the time now must not overflow, and a year is as good as for ever.
        let time = Duration::from_millis(number.checked_mul(milliseconds)?);
        (time <= Duration::from_secs(366 * 86_400)).then_some(Self(time))
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit.trim_start()))
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a size such as \"64 MiB\" (B, KiB, MiB, GiB)")]
        enum Written {
            Octets(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Octets(octets) => Ok(Self(octets)),
            Written::Text(text) => Self::parse(&text).ok_or_else(|| {
                de::Error::custom(format!("{text:?} is no size; expected one such as \"64 MiB\" (B, KiB, MiB, GiB)"))
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is no duration; expected one such as \"5 min\" (ms, s, min, h)"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, octets) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("512 B", Some(512)),
            ("64 KiB", Some(64 << 10)),
            ("64MiB", Some(64 << 20)),
            ("2 GiB", Some(2 << 30)),
            ("2 GB", None),
            ("MiB", None),
            ("-1 MiB", None),
            ("1.5 MiB", None),
            ("18446744073709551615 KiB", None),
            ("", None),
        ] {
            assert_eq!(Size::parse(text).map(|size| size.0), octets, "{text:?}");
        }
    }

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("250 ms", Some(250)),
            ("30 s", Some(30_000)),
            ("5min", Some(300_000)),
            ("2 h", Some(7_200_000)),
            ("30", None),
            ("30 seconds", None),
            ("99999999 h", None),
            ("18446744073709551615 h", None),
            ("", None),
        ] {
            assert_eq!(Time::parse(text).map(|time| time.0.as_millis()), milliseconds, "{text:?}");
        }
    }
}
