//! Decisions on held messages, and carrying them out (policy semantics §9, §13.4). The first decision wins, and is in the
//! audit log with its commit; carrying it out is one commit more, and is tried until that is made.

use super::assemble::{Parts, assemble_expansion};
use super::desk::Desk;
use super::errand::{Dsn, Errand, Failed, Why};
use super::form;
use super::held::{HeldPart, Reason};
use super::judge::{Source, Step};
use super::letter::{Hooked, Letter, Recipient};
use super::signing::{self, Leaving};
use super::{aftermath, fulfil, record, rule_set, stored};
use crate::directory::Directory;
use crate::mail::{Address, EventKind, EventKinds, HoldId};
use crate::proto::message::{HeaderAddresses, Scanner};
use crate::proto::smtp::Notify;
use crate::routing::rules::Position;
use crate::routing::{self, Addressed, Expansion, Resolution};
use crate::store::{self, AuditEntry, Continuation, Decision, FollowUp, FormSource, Held, HoldState, RuleSet};

/// What somebody decided.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Let it through.
    pub accepted: bool,
    /// Who decided.
    pub by: String,
    /// What the sender reads of a refusal.
    pub text: String,
}

/// Decides a held message and carries it out. `audit` writes the record of the decision, from the message as it was
/// before; it is in the same commit (policy semantics §14). [`store::Error::Exists`] if it is decided already. A decision
/// that cannot be carried out now stands, and is carried out later.
pub async fn decide(
    desk: &Desk,
    directory: &Directory,
    id: HoldId,
    verdict: Verdict,
    audit: impl FnOnce(&Held, &Decision) -> AuditEntry,
) -> Result<Held, store::Error> {
    let Verdict { accepted, by, text } = verdict;
    let text = one_line(&text);
    let by: String = by.chars().take(MAX_TEXT).collect();
    let decision = Decision { accepted, by, at: desk.clock.now(), text, finished: None };
    let before = desk.store.held_by_id(id).await?;
    let audit = vec![audit(&before, &decision)];
    let held = desk.store.decide(id, decision, audit).await?;
    if let Err(error) = carry_out(desk, directory, &held).await {
        tracing::error!(%id, %error, "a decision could not be carried out; it is tried again");
    }
    Ok(held)
}

/// What the silence of those who should have decided means: refused, or released if the rule says so.
pub async fn time_out(
    desk: &Desk,
    directory: &Directory,
    held: &Held,
    audit: impl FnOnce(&Held, &Decision) -> AuditEntry,
) -> Result<(), store::Error> {
    let part = HeldPart::decode(&held.data);
    let accepted = matches!(part.map(|p| p.reason), Some(Reason::Rule { releases_at_timeout: true, .. }));
    let verdict = Verdict { accepted, by: TIMEOUT.to_owned(), text: String::new() };
    match decide(desk, directory, held.id, verdict, audit).await {
        // Somebody was faster.
        Ok(_) | Err(store::Error::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Carries out a decision that was made. Nothing happens if that has been done.
pub async fn carry_out(desk: &Desk, directory: &Directory, held: &Held) -> Result<(), store::Error> {
    let HoldState::Decided(decision) = &held.state else { return Ok(()) };
    if decision.finished.is_some() {
        return Ok(());
    }
    let part = HeldPart::decode(&held.data).ok_or(store::Error::Corrupt)?;
    let carried_out = match (&part.reason, decision.accepted) {
        (Reason::Copy { .. }, true) => return desk.store.finish_hold(held.id).await,
        (_, true) => release(desk, directory, held, &part, &decision.by).await,
        (_, false) => refuse(desk, directory, held, &part, decision).await,
    };
    match carried_out {
        Ok(rows) => {
            fulfil::all(desk, directory, &rows).await;
            Ok(())
        }
        // Carried out by somebody else meanwhile.
        Err(store::Error::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The commit that refuses: the message goes, and an answerable sender is to be told.
async fn refuse(
    desk: &Desk,
    directory: &Directory,
    held: &Held,
    part: &HeldPart,
    decision: &Decision,
) -> Result<Vec<FollowUp>, store::Error> {
    let Decision { by, text, .. } = decision;
    let why = match (by == TIMEOUT, text.is_empty()) {
        (true, _) => Why::NoDecision,
        (false, true) => Why::NotApproved(None),
        (false, false) => Why::NotApproved(Some(text.clone())),
    };
    let recipients = refused_recipients(directory, part).into_iter();
    let failed: Vec<Failed> = recipients.map(|recipient| Failed { recipient, why: why.clone() }).collect();
    let to = part.sender.reverse_path.clone().filter(|_| part.is_answerable && !failed.is_empty());
    let dsn = to.map(|to| Errand::Dsn(Dsn::new(to, failed, held.created).with(&part.wishes.wishes())));
    let admin = directory.active_admin(held.organisation).filter(|_| !part.by_hooks.is_empty());
    let for_admin = admin.map(|admin| {
        let failed = part.by_hooks.iter().map(|to| Failed { recipient: to.clone(), why: why.clone() }).collect();
        let requires_tls = part.wishes.wishes().requires_tls;
        Errand::Dsn(Dsn { requires_tls, ..Dsn::new(admin.address.clone(), failed, held.created) })
    });
    let details = serde_json::json!({ "by": by, "text": text, "reason": part.reason });
    // That somebody monitors is nobody's business.
    let events = EventKinds::NONE.with_if(EventKind::Refused, !matches!(part.reason, Reason::Copy { .. }));
    let delivered = desk.store.deliver_more(Continuation {
        follow_ups: dsn.into_iter().chain(for_admin).map(aftermath::new).collect(),
        trace: Some(record::event("refused", details, events)),
        finish: Some(held.id),
        ..Continuation::new(held.transaction, desk.clock.now())
    });
    Ok(delivered.await?.follow_ups)
}

/// The addresses that a refusal names.
fn refused_recipients(directory: &Directory, part: &HeldPart) -> Vec<Address> {
    if let Some(named) = &part.named {
        return named.clone();
    }
    // Older records do not say whose mail it is.
    match &part.reason {
        Reason::Group { addressed, .. } => directory.group(*addressed).map(|g| g.address.clone()).into_iter().collect(),
        Reason::Rule { .. } | Reason::Hook { .. } => {
            part.recipients.iter().filter_map(|r| Address::parse(r).ok()).collect()
        }
        Reason::Copy { .. } => Vec::new(),
    }
}

/// The commit that releases: to those who are members now, by the rules of acceptance (policy semantics §9, §13.5).
async fn release(
    desk: &Desk,
    directory: &Directory,
    held: &Held,
    part: &HeldPart,
    by: &str,
) -> Result<Vec<FollowUp>, store::Error> {
    let (directory, rules) = rule_set::restore(desk, directory, &held.rules).await?;
    let sender = part.sender.sender();
    let stored = stored::read(desk, held.transaction, stored::HEADER).await?;
    let recipients: Vec<Recipient> =
        part.recipients.iter().filter_map(|text| recipient(&directory, part, text)).collect();
    let removed: Vec<Recipient> = part.removed.iter().filter_map(|text| recipient(&directory, part, text)).collect();
    let from = HeaderAddresses { addresses: part.from.clone(), is_complete: true };
    let letter = Letter {
        id: held.transaction,
        directory: &directory,
        sender: &sender,
        recipients: &recipients,
        from: &from,
        header: stored.header(),
        size: stored.size,
        prefix: &stored.prefix,
        auth: &part.auth,
        now: desk.clock.now(),
        origin: &part.origin,
        wishes: part.wishes.wishes(),
        // What a hook wanted held has been looked at by somebody.
        hooked: Hooked {
            added: part.added.as_bytes(),
            is_junk: part.is_junk && !matches!(part.reason, Reason::Hook { .. }),
            removed: &removed,
            ..Hooked::default()
        },
    };
    let (expansion, step) = match &part.reason {
        Reason::Group { group, .. } => match directory.group(*group) {
            Some(group) => (routing::expand_approved(&directory, &sender, group, |_| false), Step::Moderated),
            // The group is gone: nobody is in it.
            None => (Expansion::default(), Step::Moderated),
        },
        Reason::Rule { rule, priority, part, is_whole, copies, forwards, .. } => {
            let deliveries = part.iter().filter_map(super::held::StoredDelivery::delivery).collect();
            let after = Position { priority: *priority, rule: *rule };
            let expansion = Expansion { deliveries, ..Expansion::default() };
            (expansion, Step::Released { after, is_whole: *is_whole, copies, forwards })
        }
        Reason::Hook { part, groups, is_whole, .. } => {
            let deliveries = part.iter().filter_map(super::held::StoredDelivery::delivery).collect();
            let held =
                groups.iter().map(|(group, addressed)| routing::HeldGroup { group: *group, addressed: *addressed });
            let expansion = Expansion { deliveries, held: held.collect(), ..Expansion::default() };
            (expansion, Step::Cleared { is_whole: *is_whole })
        }
        Reason::Copy { .. } => (Expansion::default(), Step::Moderated),
    };
    let source = Source::Stored(held.transaction);
    let mut parts = assemble_expansion(desk, &letter, &source, expansion, step).await?;
    let mut kept = signing::kept(&parts.targets, &parts.holds);
    // Stored already.
    kept.insert(0);
    Leaving::letter(&letter, &source).sign(desk, (&mut parts.fronts, &mut parts.queue), &kept).await?;
    let rules = if rules.is_empty() { rule_set::of(&letter, &parts) } else { rules };
    commit(desk, &letter, held, parts, (by, rules)).await
}

async fn commit(
    desk: &Desk,
    letter: &Letter<'_>,
    held: &Held,
    parts: Parts,
    (by, rules): (&str, Vec<RuleSet>),
) -> Result<Vec<FollowUp>, store::Error> {
    let mut forms = vec![FormSource::Stored(held.transaction)];
    if parts.fronts.len() > 1 {
        let content = Source::Stored(held.transaction).read(desk, u64::MAX).await?;
        let mut scanner = Scanner::new();
        scanner.push(&content);
        let fronts = parts.fronts.get(1..).unwrap_or_default();
        let summaries = scanner.finish_forms(fronts);
        forms.extend(
            fronts.iter().zip(summaries).map(|(front, summary)| FormSource::New(form(front.clone(), &summary))),
        );
    }
    let details =
        serde_json::json!({ "by": by, "accounts": parts.plan.local.len(), "remote": parts.plan.remote.len() });
    let follow_ups = aftermath::of(desk, letter, &parts, &[]).await?;
    let delivered = desk.store.deliver_more(Continuation {
        reverse_path: super::answerable(letter),
        forms,
        targets: parts.targets,
        queue: parts.queue,
        // What the same rules hold further is held under them.
        rules,
        holds: parts.holds,
        follow_ups,
        trace: Some(record::event("released", details, EventKind::Released.into())),
        extra: parts.extra,
        finish: Some(held.id),
        ..Continuation::new(held.transaction, letter.now)
    });
    Ok(delivered.await?.follow_ups)
}

fn recipient(directory: &Directory, part: &HeldPart, text: &str) -> Option<Recipient> {
    let address = Address::parse(text).ok()?;
    let addressed = match routing::look_up(directory, &address) {
        Resolution::Local(addressed) => addressed,
        Resolution::Foreign(address) => Addressed::External(address),
        Resolution::Unknown => return None,
    };
    let asked = part.asked.iter().find(|asked| asked.recipient == text);
    let silent = || part.silent.iter().any(|silent| silent == text).then(Notify::default);
    // Of those who did not have to wait the sender has been told.
    let waits = waits(directory, part, &addressed);
    let notify = asked.map_or_else(silent, |asked| asked.notify);
    let notify = notify.map(|notify| Notify { success: notify.success && waits, ..notify });
    let original = asked.and_then(|asked| asked.original.clone());
    let by_hook = asked.is_some_and(|asked| asked.by_hook);
    Some(Recipient { address: text.to_owned(), addressed, notify, original, by_hook })
}

/// The mail of this recipient is in the part, or of those whom it stands for.
fn waits(directory: &Directory, part: &HeldPart, addressed: &Addressed) -> bool {
    let is_named = |address: &Address| part.named.iter().flatten().any(|named| named.key() == address.key());
    let deliveries = match &part.reason {
        Reason::Group { addressed: group, .. } => return *addressed == Addressed::Group(*group),
        Reason::Rule { part, .. } | Reason::Hook { part, .. } => part,
        Reason::Copy { .. } => return false,
    };
    match addressed {
        Addressed::Account { account, .. } => deliveries.iter().any(|delivery| delivery.account == Some(*account)),
        Addressed::Group(id) => {
            deliveries.iter().any(|delivery| delivery.group == Some(*id))
                || directory.group(*id).is_some_and(|group| is_named(&group.address))
        }
        Addressed::External(to) => {
            deliveries.iter().any(|d| d.address.as_ref().is_some_and(|address| address.key() == to.key()))
        }
    }
}

/// What somebody wrote, as one line: the words of two lines stay apart.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect()
}

/// Who decided, when nobody did.
pub const TIMEOUT: &str = "timeout";

/// Characters of a decision's text.
const MAX_TEXT: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::held::{Asked, StoredDelivery, StoredWishes};
    use crate::mail::{AccountId, Ret};

    /// A part of bob's mail as it was kept before it said whose it is.
    const OLD: &str = r#"{"reason":{"rule":{"rule":1,"priority":1,"part":[],"is_whole":false,"releases_at_timeout":false,
        "copies":[],"forwards":[]}},"approvers":[],"sender":{"reverse_path":"pam@partner.test","origin":"null"},
        "origin":{},"auth":AUTH,"from":[],"subject":"x","recipients":["alice@corp.test","bob@corp.test"],
        "is_answerable":true}"#;

    #[test]
    fn a_refusal_names_those_whose_mail_it_was() {
        let address = |text| Address::parse(text).unwrap();
        let auth = serde_json::to_string(&crate::proto::authres::AuthResults::default()).unwrap();
        let old = HeldPart::decode(OLD.replace("AUTH", &auth).as_bytes()).unwrap();
        let directory = Directory::default();
        let all = vec![address("alice@corp.test"), address("bob@corp.test")];
        assert_eq!((refused_recipients(&directory, &old), &old.silent), (all, &Vec::new()));
        let new = HeldPart { named: Some(vec![address("bob@corp.test")]), ..old };
        let new = HeldPart::decode(&new.encode()).unwrap();
        assert_eq!(refused_recipients(&directory, &new), [address("bob@corp.test")]);
    }

    #[test]
    fn what_the_sender_asked_for_outlasts_the_wait() {
        let auth = serde_json::to_string(&crate::proto::authres::AuthResults::default()).unwrap();
        let old = HeldPart::decode(OLD.replace("AUTH", &auth).as_bytes()).unwrap();
        assert_eq!(old.wishes, StoredWishes::default());
        let alice = StoredDelivery { account: AccountId::new(1), address: None, group: None, detail: None };
        let Reason::Rule { rule, priority, is_whole, releases_at_timeout, .. } = old.reason else { panic!("a rule") };
        let (copies, forwards, part) = (vec![], vec![], vec![alice]);
        let reason = Reason::Rule { rule, priority, part, is_whole, releases_at_timeout, copies, forwards };
        let all = Notify { success: true, failure: true, delay: true };
        let wishes = StoredWishes { envelope_id: Some("id".to_owned()), ret: Some(Ret::Headers), requires_tls: true };
        let asked = |recipient: &str| Asked {
            recipient: recipient.to_owned(),
            notify: Some(all),
            original: Some("rfc822;x@y.test".to_owned()),
            by_hook: false,
        };
        let asked = vec![asked("alice@corp.test"), asked("pam@partner.test")];
        let new = HeldPart { reason, wishes: wishes.clone(), asked, silent: vec!["bob@corp.test".to_owned()], ..old };
        let new = HeldPart::decode(&new.encode()).unwrap();
        assert_eq!((new.wishes.wishes().requires_tls, new.wishes.wishes().envelope_id), (true, Some("id")));
        let step = crate::directory::Step::Own;
        let directory = Directory::default();
        let waiting = Addressed::Account { account: AccountId::new(1).unwrap(), detail: None, step };
        assert!(waits(&directory, &new, &waiting));
        assert!(!waits(&directory, &new, &Addressed::External(Address::parse("pam@partner.test").unwrap())));
        let pam = recipient(&directory, &new, "pam@partner.test").unwrap();
        assert_eq!(pam.notify, Some(Notify { success: false, ..all }), "told before");
        assert_eq!(pam.original.as_deref(), Some("rfc822;x@y.test"));
        assert_eq!(recipient(&directory, &new, "bob@corp.test").unwrap().notify, Some(Notify::default()), "as before");
    }

    #[test]
    fn a_text_of_several_lines_becomes_one() {
        assert_eq!(one_line("not\nnow,\tsorry\u{1b}"), "not now, sorry ");
        assert_eq!(one_line(&"x".repeat(MAX_TEXT + 1)).len(), MAX_TEXT);
    }
}
