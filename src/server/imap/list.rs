//! LIST (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 §6.3.9).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::context::{Context, User};
use super::folders;
use super::status::{Done, Outcome};
use crate::mail::{MailboxId, MailboxName};
use crate::proto::imap::response::{self, Attribute, Listing};
use crate::proto::imap::{List, ListPattern, ListSelect, StatusItem};
use crate::store::{Error, Folder, Folders};

/// A name in the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Listed {
    name: MailboxName,
    /// The mailbox, if it exists.
    id: Option<MailboxId>,
    attributes: Vec<Attribute>,
    listing: Listing,
}

/// A name in the answer with what STATUS says of it, if that was asked for.
type Answer = (Listed, Option<Vec<(StatusItem, u64)>>);

/// LIST. What STATUS says stands directly behind the name it is about: Apple Mail relies on it (RFC 5819 §2).
pub async fn list(context: &mut Context, user: &User, command: List) -> Outcome {
    if command.asks_delimiter {
        context.say(response::list_delimiter);
        return Ok(Done::Plain);
    }
    let account = user.id();
    let read = context.services.store.read(move |r| {
        let answer = |listed: Listed| -> Result<Answer, Error> {
            let status = match (listed.id, &command.returns.status) {
                (Some(id), Some(items)) => Some(folders::values(r, account, id, items)?),
                _ => None,
            };
            Ok((listed, status))
        };
        listed(&r.folders(account)?, &command).into_iter().map(answer).collect::<Result<Vec<_>, _>>()
    });
    for (listed, status) in read.await? {
        context.say(|out| {
            response::list(out, listed.listing, &listed.attributes, &listed.name);
            if let Some(values) = status {
                response::mailbox_status(out, &listed.name, &values);
            }
        });
        context.relieve().await?;
    }
    Ok(Done::Plain)
}

/// LSUB
pub async fn lsub(context: &mut Context, user: &User, pattern: ListPattern) -> Outcome {
    let account = user.id();
    let folders = context.services.store.read(move |r| r.folders(account)).await?;
    for listed in subscribed(&folders, &pattern) {
        context.say(|out| response::list(out, listed.listing, &listed.attributes, &listed.name));
        context.relieve().await?;
    }
    Ok(Done::Plain)
}

/// An account's names, for lookups.
struct Names<'a> {
    folders: HashMap<&'a MailboxName, &'a Folder>,
    subscribed: HashSet<&'a MailboxName>,
    /// Names that have a mailbox below them.
    parents: HashSet<MailboxName>,
}

impl<'a> Names<'a> {
    fn new(folders: &'a Folders) -> Self {
        Self {
            folders: folders.folders.iter().map(|f| (&f.name, f)).collect(),
            subscribed: folders.subscribed.iter().collect(),
            parents: folders.folders.iter().flat_map(|f| superiors(&f.name)).collect(),
        }
    }

    /// Attributes of a name, special use always among them: clients read it from a plain LIST.
    fn attributes(&self, name: &MailboxName, extended: bool) -> Vec<Attribute> {
        let folder = self.folders.get(name);
        let mut attributes = Vec::new();
        if folder.is_none() {
            // `\NonExistent` says `\Noselect` too (RFC 5258 §3); who has not asked for the extension knows the latter.
            attributes.push(if extended { Attribute::NonExistent } else { Attribute::NoSelect });
        }
        let has_children = self.parents.contains(name);
        attributes.push(if has_children { Attribute::HasChildren } else { Attribute::HasNoChildren });
        attributes.extend(folder.and_then(|f| f.special_use).map(Attribute::SpecialUse));
        attributes
    }

    /// The names that the selection options let in (RFC 5258 §3.1). There are no remote mailboxes.
    fn selected(&self, select: ListSelect) -> BTreeSet<&'a MailboxName> {
        let is_special = |name: &MailboxName| self.folders.get(name).is_some_and(|f| f.special_use.is_some());
        let names: Vec<&MailboxName> = match select.subscribed {
            true => self.subscribed.iter().copied().collect(),
            false => self.folders.keys().copied().collect(),
        };
        names.into_iter().filter(|name| !select.special_use || is_special(name)).collect()
    }
}

/// What LIST answers, in the order of names.
fn listed(folders: &Folders, command: &List) -> Vec<Listed> {
    let known = Names::new(folders);
    let matches = |name: &MailboxName| command.patterns.iter().any(|p| p.matches(name));
    let selected = known.selected(command.select);
    let superiors: BTreeSet<MailboxName> = selected.iter().copied().flat_map(superiors).collect();
    // Superiors without a mailbox belong to the hierarchy (RFC 3501 §6.3.8); where only some mailboxes are asked for,
    // superiors are there only on request (RFC 5258 §3.5).
    let all = !command.select.subscribed && !command.select.special_use;
    let mut names: BTreeSet<&MailboxName> = selected;
    if all || command.select.recursive_match {
        names.extend(&superiors);
    }
    let in_order = inbox_first(names.into_iter().filter(|name| matches(name)));
    in_order
        .map(|name| {
            let child_info = command.select.subscribed && command.select.recursive_match && superiors.contains(name);
            let listing = if child_info { Listing::ListChildInfo } else { Listing::List };
            let mut attributes = known.attributes(name, command.extended);
            let wants_subscribed = command.select.subscribed || command.returns.subscribed;
            if wants_subscribed && known.subscribed.contains(name) {
                attributes.push(Attribute::Subscribed);
            }
            Listed { name: name.clone(), id: known.folders.get(name).map(|f| f.id), attributes, listing }
        })
        .collect()
}

/// What LSUB answers: subscribed names, and for a pattern with `%` the superiors that it stops at, `\Noselect`
/// whether or not there is such a mailbox (RFC 3501 §6.3.9).
fn subscribed(folders: &Folders, pattern: &ListPattern) -> Vec<Listed> {
    let known = Names::new(folders);
    let (matching, others): (Vec<_>, Vec<_>) = folders.subscribed.iter().partition(|name| pattern.matches(name));
    let stops: BTreeSet<MailboxName> = others
        .into_iter()
        .flat_map(superiors)
        .filter(|name| pattern.matches(name) && !known.subscribed.contains(name))
        .collect();
    let names: BTreeSet<&MailboxName> = matching.into_iter().chain(&stops).collect();
    inbox_first(names.into_iter())
        .map(|name| {
            let attributes = match stops.contains(name) {
                true => vec![Attribute::NoSelect, Attribute::HasChildren],
                false => known.attributes(name, false),
            };
            Listed { name: name.clone(), id: None, attributes, listing: Listing::Lsub }
        })
        .collect()
}

fn superiors(name: &MailboxName) -> Vec<MailboxName> {
    name.superiors().collect()
}

fn inbox_first<'a>(names: impl Iterator<Item = &'a MailboxName>) -> impl Iterator<Item = &'a MailboxName> {
    let (inbox, others): (Vec<_>, Vec<_>) = names.partition(|name| name.is_inbox());
    inbox.into_iter().chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{SpecialUse, UidValidity};
    use crate::proto::imap::ListReturn;
    use crate::store::Folder;

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text).unwrap()
    }

    /// INBOX, Sent (special), a/b/c, x, x/y; subscribed INBOX, a/b/c, lost, x/y.
    fn example() -> Folders {
        let folder = |(id, text): (u32, &str)| Folder {
            id: MailboxId::new(id).unwrap(),
            name: name(text),
            uid_validity: UidValidity::MIN,
            special_use: (text == "Sent").then_some(SpecialUse::Sent),
        };
        Folders {
            folders: [(1, "INBOX"), (2, "Sent"), (3, "a/b/c"), (4, "x"), (5, "x/y")].map(folder).to_vec(),
            subscribed: ["INBOX", "a/b/c", "lost", "x/y"].map(name).to_vec(),
        }
    }

    fn shown(listed: &[Listed]) -> Vec<String> {
        listed
            .iter()
            .map(|l| {
                let mut text = l.name.to_string();
                for a in &l.attributes {
                    text.push_str(match a {
                        Attribute::NoSelect => " noselect",
                        Attribute::NonExistent => " nonexistent",
                        Attribute::HasChildren => " +",
                        Attribute::HasNoChildren => "",
                        Attribute::Subscribed => " subscribed",
                        Attribute::SpecialUse(_) => " special",
                        Attribute::NoInferiors => " noinferiors",
                    });
                }
                text + if l.listing == Listing::ListChildInfo { " childinfo" } else { "" }
            })
            .collect()
    }

    #[test]
    fn list_answers() {
        let plain = ListSelect::default();
        let sub = ListSelect { subscribed: true, ..plain };
        let special = ListSelect { special_use: true, ..plain };
        for (case, pattern, select, want) in [
            ("all", "*", plain, vec!["INBOX", "Sent special", "a noselect +", "a/b noselect +", "a/b/c", "x +", "x/y"]),
            ("one level", "%", plain, vec!["INBOX", "Sent special", "a noselect +", "x +"]),
            ("second level", "%/%", plain, vec!["a/b noselect +", "x/y"]),
            ("one name", "inbox", plain, vec!["INBOX"]),
            ("special use", "*", special, vec!["Sent special"]),
            (
                "subscribed",
                "*",
                sub,
                vec!["INBOX subscribed", "a/b/c subscribed", "lost nonexistent subscribed", "x/y subscribed"],
            ),
            (
                "subscribed below",
                "%",
                ListSelect { recursive_match: true, ..sub },
                vec!["INBOX subscribed", "a nonexistent + childinfo", "lost nonexistent subscribed", "x + childinfo"],
            ),
        ] {
            let command = List {
                select,
                patterns: vec![ListPattern::new("", pattern).unwrap()],
                returns: ListReturn::default(),
                asks_delimiter: false,
                extended: select != plain,
            };
            assert_eq!(shown(&listed(&example(), &command)), want, "{case}");
        }
    }

    #[test]
    fn lsub_answers() {
        for (case, pattern, want) in [
            ("all", "*", vec!["INBOX", "a/b/c", "lost noselect", "x/y"]),
            ("one level", "%", vec!["INBOX", "a noselect +", "lost noselect", "x noselect +"]),
            ("second level", "a/%", vec!["a/b noselect +"]),
        ] {
            let pattern = ListPattern::new("", pattern).unwrap();
            assert_eq!(shown(&subscribed(&example(), &pattern)), want, "{case}");
        }
    }
}
