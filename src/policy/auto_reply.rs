//! Is a message answered automatically, and with which text? Asked for each copy once it is stored (policy semantics
//! §12, RFC 3834).

use super::scope;
use super::sender::Sender;
use crate::directory::{Account, AddressPattern, AutoReply, Directory, Owner};
use crate::mail::{Address, AddressKey, ReversePath, Timestamp};
use crate::proto::authres::{DmarcResult, SpfResult};
use crate::proto::message::header::fields;
use crate::proto::message::to_cc_addresses;

/// What is known of a copy.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The directory of the transaction.
    pub directory: &'a Directory,
    /// Whose copy it is.
    pub account: &'a Account,
    /// A reply by the owner's filter, if one asked for it.
    pub filter: Option<&'a AutoReply>,
    /// Who sent the message.
    pub sender: &'a Sender,
    /// Its header.
    pub header: &'a [u8],
    /// How the copy got here.
    pub arrival: Arrival,
    /// Where it lies.
    pub placement: Placement,
    /// What SPF said of the reverse-path.
    pub spf: SpfResult,
    /// A DKIM signature verified that is aligned with the reverse-path.
    pub dkim_aligned: bool,
    /// What DMARC said of the author.
    pub dmarc: DmarcResult,
    /// When this account last answered this sender, by [`memory_key`].
    pub last_answered: Option<Timestamp>,
    /// Replies that the account sent in the last 24 hours.
    pub replies_in_24h: u32,
    /// The time.
    pub now: Timestamp,
}

/// How a copy got to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Addressed to it.
    Direct,
    /// Through a group.
    Group,
    /// Through the catch-all, or `postmaster`.
    CatchAll,
    /// By somebody's forward, or a rule's.
    Forward,
    /// As a monitor's copy.
    Monitor,
    /// By a transfer of mail between accounts.
    Transfer,
}

/// Where a copy lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Among the ordinary mail.
    Ordinary,
    /// In Junk.
    Junk,
    /// In quarantine.
    Quarantined,
    /// Waiting for approval.
    Held,
}

/// The reply to send, with the null reverse-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Whose text it is.
    pub source: Source,
    /// The address of the account that the message was to.
    pub from: Address,
    /// The reverse-path of the message.
    pub to: &'a Address,
    /// Goes in front of the subject.
    pub subject_prefix: &'a str,
    /// The text for this sender.
    pub text: &'a str,
}

/// Whose text a reply is, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An admin's.
    Admin,
    /// The owner's filter's.
    Filter,
    /// The owner's absence's.
    Vacation,
}

/// The one reply, if there is to be one.
pub fn decide<'a>(facts: &Facts<'a>) -> Option<Reply<'a>> {
    let ReversePath::Address(to) = &facts.sender.reverse_path else { return None };
    let is_excluded = is_automatic_address(to)
        || is_automatic_message(facts.header)
        || facts.arrival != Arrival::Direct
        || facts.placement != Placement::Ordinary
        || is_own(facts, to)
        // What the server sends needs no permission, so that whoever claims a group's address would reach its members.
        || matches!(facts.directory.owner(to), Owner::Group(_))
        || is_forged(facts)
        || facts.replies_in_24h >= MAX_REPLIES;
    if is_excluded {
        return None;
    }
    let from = to_cc_addresses(facts.header).addresses.into_iter().find(|address| is_own(facts, address))?;
    let settings = facts.account.settings();
    let candidates = [
        (Source::Admin, settings.admin_reply.as_ref()),
        (Source::Filter, facts.filter),
        (Source::Vacation, settings.vacation.as_ref()),
    ];
    let (source, reply) =
        candidates.into_iter().filter_map(|(s, reply)| Some((s, reply?))).find(|(_, r)| applies(facts, r, to))?;
    let is_internal = facts
        .directory
        .account_organisation(facts.account.id)
        .is_some_and(|organisation| facts.sender.is_of(facts.directory, organisation));
    let text = reply.external_text.as_deref().filter(|_| !is_internal).unwrap_or(&reply.text);
    Some(Reply { source, from, to, subject_prefix: &reply.subject_prefix, text })
}

/// The form of a sender's address under which an account remembers that it answered: without detail.
pub fn memory_key(sender: &Address) -> AddressKey {
    AddressKey::new(without_detail(sender.local_part().as_str()), sender.host())
}

/// Rule 1: addresses behind which nobody reads.
fn is_automatic_address(address: &Address) -> bool {
    let local = address.local_part().as_str().to_ascii_lowercase();
    [&*local, without_detail(&local)].iter().any(|local| {
        AUTOMATIC.contains(local)
            || local.starts_with("owner-")
            || AUTOMATIC_ENDS.iter().any(|end| local.ends_with(end))
    })
}

fn without_detail(local: &str) -> &str {
    match local.split_once('+') {
        Some((user, _)) if !user.is_empty() => user,
        _ => local,
    }
}

/// Rule 2: lists, bulk, and what a program wrote.
fn is_automatic_message(block: &[u8]) -> bool {
    fields(block).any(|field| {
        let value = || String::from_utf8_lossy(&field.value()).to_ascii_lowercase();
        let has_word = |words: &[&str]| value().split([',', ';', ' ', '\t']).any(|word| words.contains(&word));
        if field.is(b"Auto-Submitted") {
            // RFC 3834 §5: parameters may follow, and comments.
            return value().split([';', ' ', '(']).next() != Some("no");
        }
        if field.is(b"Precedence") {
            return has_word(&["bulk", "list", "junk"]);
        }
        if field.is(b"X-Auto-Response-Suppress") {
            return has_word(&["all", "oof", "autoreply"]);
        }
        if field.is(b"Content-Type") {
            return value().starts_with("multipart/report");
        }
        field.name.get(..LIST.len()).is_some_and(|start| start.eq_ignore_ascii_case(LIST))
    })
}

/// Rule 3 and rule 6: an address of the account, in whatever form.
fn is_own(facts: &Facts<'_>, address: &Address) -> bool {
    matches!(facts.directory.owner(address), Owner::Account(owner) if owner.id == facts.account.id)
}

/// Rule 7: the reply would probably go to somebody who did not write.
fn is_forged(facts: &Facts<'_>) -> bool {
    facts.dmarc == DmarcResult::Fail || (facts.spf == SpfResult::Fail && !facts.dkim_aligned)
}

/// Rules 8 and 9.
fn applies(facts: &Facts<'_>, reply: &AutoReply, to: &Address) -> bool {
    let interval = i64::from(reply.interval_hours.clamp(MIN_INTERVAL, MAX_INTERVAL)) * 3600;
    let is_rested = facts.last_answered.is_none_or(|at| facts.now.seconds().saturating_sub(at.seconds()) >= interval);
    let is_in_time =
        reply.from.is_none_or(|from| from <= facts.now) && reply.until.is_none_or(|until| facts.now < until);
    let is_contact = |pattern: &AddressPattern| {
        scope::matches_address(pattern, to)
            || scope::matches_address(pattern, &bare(to))
            || matches!(facts.directory.owner(to), Owner::Account(account)
                if scope::matches_account(facts.directory, pattern, account.id))
    };
    is_rested && is_in_time && reply.contacts.as_ref().is_none_or(|contacts| contacts.iter().any(is_contact))
}

fn bare(address: &Address) -> Address {
    let local = crate::mail::LocalPart::parse(without_detail(address.local_part().as_str()));
    local.map_or_else(|_| address.clone(), |local| Address::new(local, address.host().clone()))
}

const AUTOMATIC: [&str; 4] = ["mailer-daemon", "postmaster", "noreply", "no-reply"];

const AUTOMATIC_ENDS: [&str; 3] = ["-request", "-owner", "-bounces"];

const LIST: &[u8] = b"List-";

/// Hours.
const MIN_INTERVAL: u32 = 1;

/// Hours: 30 days.
const MAX_INTERVAL: u32 = 30 * 24;

/// Replies of one account in 24 hours.
const MAX_REPLIES: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{AccountSettings, Change, change, fixture};
    use crate::mail::AccountId;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn reply(text: &str) -> AutoReply {
        AutoReply {
            subject_prefix: "Auto: ".to_owned(),
            text: text.to_owned(),
            external_text: None,
            interval_hours: 24,
            from: None,
            until: None,
            contacts: None,
        }
    }

    /// One row: what differs from the first message of pam to alice.
    struct Row {
        vacation: Option<AutoReply>,
        admin: Option<AutoReply>,
        filter: Option<AutoReply>,
        from: &'static str,
        to: &'static str,
        header: &'static str,
        arrival: Arrival,
        placement: Placement,
        spf: SpfResult,
        dkim_aligned: bool,
        dmarc: DmarcResult,
        hours_since: Option<i64>,
        replies: u32,
    }

    fn row() -> Row {
        Row {
            vacation: Some(reply("away")),
            admin: None,
            filter: None,
            from: "pam@partner.test",
            to: "alice@corp.test",
            header: "",
            arrival: Arrival::Direct,
            placement: Placement::Ordinary,
            spf: SpfResult::Pass,
            dkim_aligned: false,
            dmarc: DmarcResult::None,
            hours_since: None,
            replies: 0,
        }
    }

    impl Row {
        fn decide(self) -> Option<(Source, String, String)> {
            let directory = fixture::corp(&["alice@corp.test", "bob@corp.test"], &[("a.liu@corp.test", 1)], None);
            let settings = AccountSettings { vacation: self.vacation, admin_reply: self.admin, ..Default::default() };
            let alice = (**directory.account(AccountId::new(1).unwrap()).unwrap()).clone().with_settings(settings);
            let directory = change::apply_all(&directory, &[Change::PutAccount(alice.clone())]).unwrap().0;
            let path = if self.from.is_empty() { ReversePath::Null } else { ReversePath::Address(address(self.from)) };
            let sender = match self.from.ends_with("@corp.test") {
                true => Sender::authenticated(&directory, AccountId::new(2).unwrap(), path),
                false => Sender::unauthenticated(&directory, None, path, true),
            };
            let header = format!("From: x@y.z\r\nTo: {}\r\n{}\r\n", self.to, self.header);
            let facts = Facts {
                directory: &directory,
                account: &alice,
                filter: self.filter.as_ref(),
                sender: &sender,
                header: header.as_bytes(),
                arrival: self.arrival,
                placement: self.placement,
                spf: self.spf,
                dkim_aligned: self.dkim_aligned,
                dmarc: self.dmarc,
                last_answered: self.hours_since.map(|h| Timestamp::from_seconds(NOW.seconds() - h * 3600)),
                replies_in_24h: self.replies,
                now: NOW,
            };
            decide(&facts).map(|r| (r.source, r.from.to_string(), r.text.to_owned()))
        }
    }

    #[test]
    fn replies_of_policy_semantics() {
        let header = |header| Row { header, ..row() };
        let window = |from, until| {
            let at = |hours: Option<i64>| hours.map(|h| Timestamp::from_seconds(NOW.seconds() + h * 3600));
            Row { vacation: Some(AutoReply { from: at(from), until: at(until), ..reply("away") }), ..row() }
        };
        let contacts =
            |contacts| Row { vacation: Some(AutoReply { contacts: Some(contacts), ..reply("away") }), ..row() };
        let pam = || vec![AddressPattern::Address(address("pam@partner.test"))];
        for (case, row, want) in [
            ("R01", row(), true),
            ("R02", Row { hours_since: Some(23), ..row() }, false),
            ("R03", Row { hours_since: Some(25), ..row() }, true),
            ("R04", Row { from: "", ..row() }, false),
            ("R05", header("Auto-Submitted: auto-generated\r\n"), false),
            ("R05 with parameters", header("auto-submitted: auto-replied; owner=x\r\n"), false),
            ("R06", header("Auto-Submitted: no\r\n"), true),
            ("R06 with comment", header("Auto-Submitted: NO (really)\r\n"), true),
            ("R07", header("Precedence: bulk\r\n"), false),
            ("R07 urgent", header("Precedence: urgent\r\n"), true),
            ("R08", header("List-Id: <x.y>\r\n"), false),
            ("R08 any", header("list-anything: x\r\n"), false),
            ("R09", Row { arrival: Arrival::Group, to: "g-any@corp.test", ..row() }, false),
            ("R09 with alice in To", Row { arrival: Arrival::Group, ..row() }, false),
            ("R10", Row { to: "bob@corp.test", ..row() }, false),
            ("R10 in Cc", Row { to: "x@y.test", header: "Cc: alice@corp.test\r\n", ..row() }, true),
            ("R11", Row { to: "a.liu@corp.test", ..row() }, true),
            ("R12", Row { to: "alice+x@corp.test", ..row() }, true),
            ("R13", Row { from: "noreply@partner.test", ..row() }, false),
            ("R13 in capitals", Row { from: "No-Reply@partner.test", ..row() }, false),
            ("R13 with detail", Row { from: "noreply+7@partner.test", ..row() }, false),
            ("R14", Row { from: "list-request@partner.test", ..row() }, false),
            ("R14 owner", Row { from: "owner-list@partner.test", ..row() }, false),
            ("R14 bounces", Row { from: "list-bounces+a=b@partner.test", ..row() }, false),
            ("R15", Row { from: "a.liu@corp.test", ..row() }, false),
            ("R16", Row { placement: Placement::Junk, ..row() }, false),
            ("R17", Row { arrival: Arrival::CatchAll, ..row() }, false),
            ("R18", Row { arrival: Arrival::Forward, ..row() }, false),
            ("R19", header("Content-Type: multipart/report; boundary=x\r\n"), false),
            ("R20 before", window(Some(1), None), false),
            ("R20 after", window(None, Some(0)), false),
            ("R20 within", window(Some(-1), Some(1)), true),
            ("R21", contacts(vec![AddressPattern::Address(address("other@partner.test"))]), false),
            ("R21 a contact", contacts(pam()), true),
            ("R21 a contact with detail", Row { from: "pam+1@partner.test", ..contacts(pam()) }, true),
            ("R22", header("X-Auto-Response-Suppress: DR, OOF\r\n"), false),
            ("R22 other", header("X-Auto-Response-Suppress: DR\r\n"), true),
            ("R25", Row { dmarc: DmarcResult::Fail, ..row() }, false),
            ("R25 SPF", Row { spf: SpfResult::Fail, ..row() }, false),
            ("R25 SPF but DKIM", Row { spf: SpfResult::Fail, dkim_aligned: true, ..row() }, true),
            ("R26", Row { spf: SpfResult::None, ..row() }, true),
            ("R27", Row { placement: Placement::Held, ..row() }, false),
            ("quarantined", Row { placement: Placement::Quarantined, ..row() }, false),
            ("R28 the question", Row { from: "bob@corp.test", ..row() }, true),
            ("R28 the answer", Row { from: "", header: "Auto-Submitted: auto-replied\r\n", ..row() }, false),
            ("R29", Row { replies: 200, ..row() }, false),
            ("R29 the 200th", Row { replies: 199, ..row() }, true),
            ("R30", Row { from: "pam+1@partner.test", hours_since: Some(1), ..row() }, false),
            ("monitor's copy", Row { arrival: Arrival::Monitor, ..row() }, false),
            ("transferred", Row { arrival: Arrival::Transfer, ..row() }, false),
            ("no reply set", Row { vacation: None, ..row() }, false),
        ] {
            assert_eq!(row.decide().is_some(), want, "{case}");
        }
    }

    #[test]
    fn r11_r12_r23_r24_the_right_text_from_the_right_address() {
        let both = || Row { admin: Some(reply("frozen")), filter: Some(reply("filtered")), ..row() };
        let late = AutoReply { from: Some(Timestamp::from_seconds(NOW.seconds() + 1)), ..reply("later") };
        let split = AutoReply { external_text: Some("outside".to_owned()), ..reply("inside") };
        for (case, row, source, from, text) in [
            ("R11", Row { to: "A <a.liu@corp.test>", ..row() }, Source::Vacation, "a.liu@corp.test", "away"),
            ("R12", Row { to: "alice+x@corp.test", ..row() }, Source::Vacation, "alice+x@corp.test", "away"),
            ("R23", both(), Source::Admin, "alice@corp.test", "frozen"),
            ("R24", Row { admin: None, ..both() }, Source::Filter, "alice@corp.test", "filtered"),
            ("R23 not yet", Row { admin: Some(late), ..row() }, Source::Vacation, "alice@corp.test", "away"),
            (
                "to outside",
                Row { vacation: Some(split.clone()), ..row() },
                Source::Vacation,
                "alice@corp.test",
                "outside",
            ),
            (
                "to inside",
                Row { vacation: Some(split), from: "bob@corp.test", ..row() },
                Source::Vacation,
                "alice@corp.test",
                "inside",
            ),
        ] {
            assert_eq!(row.decide(), Some((source, from.to_owned(), text.to_owned())), "{case}");
        }
    }

    #[test]
    fn r30_the_memory_ignores_details() {
        assert_eq!(memory_key(&address("Pam+1@partner.test")), memory_key(&address("pam@Partner.test")));
        assert_ne!(memory_key(&address("+pam@partner.test")), memory_key(&address("pam@partner.test")));
    }
}
