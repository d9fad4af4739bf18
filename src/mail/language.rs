//! Languages in which this server writes to people.

use serde::{Deserialize, Serialize};

/// A language, named by its tag of BCP 47.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// `en`
    #[default]
    #[serde(rename = "en")]
    English,
    /// `de`
    #[serde(rename = "de")]
    German,
    /// `fr`
    #[serde(rename = "fr")]
    French,
    /// `es`
    #[serde(rename = "es")]
    Spanish,
    /// `zh`, in simplified characters.
    #[serde(rename = "zh")]
    Chinese,
    /// `ja`
    #[serde(rename = "ja")]
    Japanese,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] = [
        Language::English,
        Language::German,
        Language::French,
        Language::Spanish,
        Language::Chinese,
        Language::Japanese,
    ];

    /// Its tag.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
            Language::Spanish => "es",
            Language::Chinese => "zh",
            Language::Japanese => "ja",
        }
    }
}
