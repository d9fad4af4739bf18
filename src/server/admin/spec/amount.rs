//! Octets and moments as people write them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::mail::Timestamp;

/// A number of octets: an integer, or text such as `"100 MiB"` (B, KiB, MiB, GiB, TiB). Shown as an integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Octets(pub u64);

impl Octets {
    /// From text such as `100 MiB`.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }

    /// True for none.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl PartialSchema for Octets {
    fn schema() -> RefOr<Schema> {
        let of = |kind| ObjectBuilder::new().schema_type(kind);
        let description = "Octets, or text such as \"100 MiB\" (B, KiB, MiB, GiB, TiB); shown as a number";
        let either = OneOfBuilder::new().item(of(Type::Integer).minimum(Some(0))).item(of(Type::String));
        either.description(Some(description)).into()
    }
}

impl ToSchema for Octets {}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl de::Visitor<'_> for Written {
            type Value = Octets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of octets or a size such as \"100 MiB\"")
            }

            fn visit_u64<E: de::Error>(self, octets: u64) -> Result<Octets, E> {
                Ok(Octets(octets))
            }

            fn visit_i64<E: de::Error>(self, octets: i64) -> Result<Octets, E> {
                let octets = u64::try_from(octets);
                octets.map(Octets).map_err(|_| E::invalid_value(de::Unexpected::Other("a negative number"), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Octets, E> {
                Octets::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// A moment from RFC 3339 text, or from a date, which means its first moment in UTC.
pub fn moment(text: &str) -> Option<Timestamp> {
    let full: Option<jiff::Timestamp> = text.parse().ok();
    let date = || Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    full.or_else(date).map(|at| Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (json, want) in [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("\"100 MiB\"", Some(100 << 20)),
            ("\"1TiB\"", Some(1 << 40)),
            ("-1", None),
            ("\"1 MB\"", None),
            ("\"MiB\"", None),
            ("\"99999999 TiB\"", None),
            ("true", None),
        ] {
            assert_eq!(serde_json::from_str::<Octets>(json).ok(), want.map(Octets), "{json}");
        }
    }

    #[test]
    fn moments() {
        for (text, want) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-01T00:00:01Z", Some(1000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("tomorrow", None),
            ("1970-02-30", None),
        ] {
            assert_eq!(moment(text).map(Timestamp::millis), want, "{text}");
        }
    }
}
