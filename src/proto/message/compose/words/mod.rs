//! What notifications say to people, in each language that there is (RFC 3464 leaves it to us). `{}` stands for what is
//! put in.

mod de;
mod en;
mod es;
mod fr;
mod ja;
mod zh;

use crate::mail::Language;

/// The words of one language.
#[derive(Debug)]
pub(super) struct Words {
    /// Who speaks; `{}` is the server's name.
    pub server: &'static str,
    /// Subjects.
    pub failed_subject: &'static str,
    pub delayed_subject: &'static str,
    pub delivered_subject: &'static str,
    /// What was done, before the recipient.
    pub failed: &'static str,
    pub delayed: &'static str,
    pub delivered: &'static str,
    pub relayed: &'static str,
    pub expanded: &'static str,
    /// `{}` is a host, whose words follow.
    pub host_said: &'static str,
    /// `{}` is a host.
    pub host_was: &'static str,
    /// `{}` is a time.
    pub until: &'static str,
    /// To who hears no more of it.
    pub once: &'static str,
    /// The id follows.
    pub trace: &'static str,
    /// Why; `{}` is what somebody wrote.
    pub not_approved_because: &'static str,
    pub not_approved: &'static str,
    pub no_decision: &'static str,
    pub policy: &'static str,
    /// `{}` is the part.
    pub part_closed: &'static str,
    pub some_part_closed: &'static str,
    pub external_members: &'static str,
    pub no_member: &'static str,
    pub unverified: &'static str,
    pub not_taken: &'static str,
    pub unconfirmed: &'static str,
    pub in_mailbox: &'static str,
    pub in_group: &'static str,
    pub mailbox_full: &'static str,
    /// What a status means (RFC 3463 §3).
    pub no_mailbox: &'static str,
    pub no_domain: &'static str,
    pub bad_address: &'static str,
    pub takes_no_mail: &'static str,
    pub disabled: &'static str,
    pub is_full: &'static str,
    pub too_large: &'static str,
    pub no_answer: &'static str,
    pub no_lookup: &'static str,
    pub no_server: &'static str,
    pub in_circles: &'static str,
    pub too_long: &'static str,
    pub wrong_kind: &'static str,
    pub only_ascii: &'static str,
    pub not_permitted: &'static str,
    pub insecure: &'static str,
    pub not_verified: &'static str,
}

/// The words of this language.
pub(super) fn of(language: Language) -> &'static Words {
    match language {
        Language::English => &en::WORDS,
        Language::German => &de::WORDS,
        Language::French => &fr::WORDS,
        Language::Spanish => &es::WORDS,
        Language::Chinese => &zh::WORDS,
        Language::Japanese => &ja::WORDS,
    }
}

/// The words with something put in.
pub(super) fn with(words: &str, something: impl std::fmt::Display) -> String {
    words.replacen("{}", &something.to_string(), 1)
}
