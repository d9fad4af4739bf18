//! From a letter to what one commit writes: expansion, the plan, then forms, mailboxes, queue items, held parts and the
//! trace (policy semantics §19).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::desk::Desk;
use super::errand::Monitored;
use super::held::{HeldPart, Reason, StoredDelivery};
use super::judge::{Judgement, Source, Step, domain_of, judge};
use super::letter::{Letter, Recipient, may_know};
use super::{aftermath, record};
use crate::directory::{Account, CopyForm, Directory, HoldOutcome};
use crate::mail::srs::{self, Forwarder, Rewritten};
use crate::mail::{
    AccountId, Address, Domain, Flags, GroupId, MailboxId, MailboxName, Notify, OrganisationId, ReversePath, TlsWish,
};
use crate::policy::{group, sender};
use crate::proto::message::compose::{NewSubject, header_field, list_id_field, monitor_block, prefixed_subject};
use crate::proto::message::{Front, header};
use crate::routing::rules::{self, Copy, Outcome};
use crate::routing::{self, Addressed, Expansion, Folder, Local, Plan, Receiver, Remote, Return, Via};
use crate::store::{
    self, HoldKind, NewHold, NewQueueItem, Origin, QueueSender, Returns, StateKey, Target, TraceWrite, WhenFull,
};

/// What a commit writes of a letter beside its content.
#[derive(Debug, Default)]
pub struct Parts {
    /// What makes each form; the first is the message as accepted.
    pub fronts: Vec<Front>,
    /// Mailboxes that get it.
    pub targets: Vec<Target>,
    /// What happens when one is full.
    pub when_full: WhenFull,
    /// Copies for other hosts.
    pub queue: Vec<NewQueueItem>,
    /// These are so many that they let other mail go first.
    is_bulk: bool,
    /// Parts that wait for a decision.
    pub holds: Vec<NewHold>,
    /// What those wait for.
    pub held: Vec<HeldPart>,
    /// What is kept for those who look for it later.
    pub trace: TraceWrite,
    /// State that changes with it.
    pub extra: Vec<(StateKey, Vec<u8>)>,
    /// Who gets what, for what follows the commit.
    pub plan: Plan,
    /// What stays closed, for partial notices.
    pub expansion: Expansion,
    /// What mail rules said.
    pub outcome: Outcome,
    /// Monitor copies in the form of a report, which are messages of their own: they follow the commit.
    pub reports: Vec<Copy>,
}

/// Makes the parts of a letter whose recipients stand.
pub async fn assemble(desk: &Desk, letter: &Letter<'_>, source: &Source<'_>) -> Result<Parts, store::Error> {
    let addressed: Vec<_> = letter.recipients.iter().map(|r| r.addressed.clone()).collect();
    let expansion = routing::expand(letter.directory, letter.sender, &addressed);
    // Of a recipient whom a hook has named the client hears nothing.
    let is_sole = |only: &Recipient| !only.by_hook && matches!(only.addressed, Addressed::Account { .. });
    let sole = matches!(letter.recipients, [only] if is_sole(only));
    let when_full = if sole { WhenFull::Refuse } else { WhenFull::Queue };
    let mut parts = match letter.hooked.quarantine {
        Some(quarantine) => quarantined(desk, letter, expansion, quarantine).await?,
        None => assemble_expansion(desk, letter, source, expansion, Step::Arriving).await?,
    };
    parts.when_full = when_full;
    parts.trace = record::accepted(letter, &parts);
    Ok(parts)
}

/// The same for what a release has expanded; without a trace.
pub async fn assemble_expansion(
    desk: &Desk,
    letter: &Letter<'_>,
    source: &Source<'_>,
    expansion: Expansion,
    step: Step<'_>,
) -> Result<Parts, store::Error> {
    let Judgement { outcome, expansion, facts } = judge(desk, letter, source, expansion, step).await?;
    let plan = match outcome.refused {
        Some(_) => Plan::default(),
        None => routing::plan(letter.directory, letter.sender, &facts, &expansion.deliveries),
    };
    let parts = Parts { when_full: WhenFull::Queue, outcome, plan, expansion, ..Parts::default() };
    let mut assembler = Assembler { desk, letter, forms: HashMap::new(), list_ids: HashMap::new(), parts };
    assembler.form(Added::default());
    assembler.deliveries().await?;
    assembler.copies().await?;
    if assembler.parts.outcome.refused.is_none() {
        assembler.moderation().await?;
        assembler.rule_holds().await?;
        assembler.quarantine().await?;
    }
    Ok(assembler.parts)
}

/// An organisation whose administrators may look at the letter as a whole: the sender's, or that of a domain it has to do
/// with.
pub(super) fn concerned(letter: &Letter<'_>) -> Option<OrganisationId> {
    let directory = letter.directory;
    let senders = || directory.account_organisation(letter.sender.account()?);
    senders().or_else(|| directory.organisation_of(&domain_of(letter)?))
}

type Deliveries = Vec<StoredDelivery>;
/// Each with the group that was addressed.
type Groups = Vec<(GroupId, GroupId)>;

/// The parts of a letter that a hook wants held, whole: one for each organisation whose receivers it is for. What is
/// for nobody here is the sender's organisation's, or that of the domain it has to do with.
async fn quarantined(
    desk: &Desk,
    letter: &Letter<'_>,
    expansion: Expansion,
    (hook, why): (&str, &str),
) -> Result<Parts, store::Error> {
    let directory = letter.directory;
    let senders = || directory.account_organisation(letter.sender.account()?);
    let other = concerned(letter);
    let mut of: BTreeMap<OrganisationId, (Deliveries, Groups)> = BTreeMap::new();
    for delivery in &expansion.deliveries {
        let organisation = match delivery.to {
            Receiver::Account(id) => directory.account_organisation(id),
            Receiver::External(_) => None,
        };
        let Some(organisation) = organisation.or(other) else { continue };
        of.entry(organisation).or_default().0.push(StoredDelivery::of(delivery));
    }
    for held in &expansion.held {
        let Some(organisation) = directory.group_organisation(held.group).or(other) else { continue };
        of.entry(organisation).or_default().1.push((held.group, held.addressed));
    }
    let parts = Parts { when_full: WhenFull::Queue, expansion, ..Parts::default() };
    let mut assembler = Assembler { desk, letter, forms: HashMap::new(), list_ids: HashMap::new(), parts };
    assembler.form(Added::default());
    // The sender's event goes with the part of its own organisation, or else with the first.
    let whole = senders().filter(|id| of.contains_key(id)).or_else(|| of.keys().next().copied());
    for (organisation, (part, groups)) in of {
        let is_whole = whole == Some(organisation);
        let reason = Reason::Hook { hook: hook.to_owned(), why: why.to_owned(), part, groups, is_whole };
        assembler.hold(HoldKind::Quarantine, reason, Vec::new(), Some(organisation), None).await?;
    }
    Ok(assembler.parts)
}

/// Where the message has been forwarded from (policy semantics §11.2).
pub(super) fn delivered_to(header: &[u8]) -> Vec<Address> {
    header::fields(header)
        .filter(|field| field.is(b"Delivered-To"))
        .filter_map(|field| Address::parse(std::str::from_utf8(&field.value()).ok()?.trim()).ok())
        .take(MAX_DELIVERED_TO)
        .collect()
}

struct Assembler<'a> {
    desk: &'a Desk,
    letter: &'a Letter<'a>,
    /// What was added to the message, and the form that has it.
    forms: HashMap<Added, usize>,
    /// The List-Id fields of groups that were asked for.
    list_ids: HashMap<GroupId, Vec<u8>>,
    parts: Parts,
}

/// What a form has that the message as accepted does not.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Added {
    /// Fields in front of it.
    lines: Vec<u8>,
    /// A Subject instead of its own; `None` if that stays.
    subject: Option<NewSubject>,
}

impl Assembler<'_> {
    /// The form with that.
    fn form(&mut self, added: Added) -> usize {
        if let Some(form) = self.forms.get(&added) {
            return *form;
        }
        let form = self.parts.fronts.len();
        // The trace fields stay together on top (RFC 5322 §3.6.7).
        let subject = added.subject.as_ref().map_or(&[][..], |subject| &subject.field);
        self.parts.fronts.push(Front {
            prefix: [&added.lines, self.letter.prefix, subject].concat(),
            omitted: added.subject.as_ref().and_then(|subject| subject.replaced),
        });
        self.forms.insert(added, form);
        form
    }

    /// The copies of the plan, here and elsewhere.
    async fn deliveries(&mut self) -> Result<(), store::Error> {
        let plan = std::mem::take(&mut self.parts.plan);
        self.parts.targets.reserve(plan.local.len());
        for local in &plan.local {
            self.local(local).await?;
        }
        self.parts.is_bulk = plan.remote.len() > ORDINARY;
        for remote in &plan.remote {
            self.remote(remote, &plan).await?;
        }
        self.parts.plan = plan;
        Ok(())
    }

    async fn local(&mut self, local: &Local) -> Result<(), store::Error> {
        let Some(account) = self.letter.directory.account(local.account) else { return Ok(()) };
        let form = self.form_of(&local.forwarded_by, local.delivery);
        let mailbox = match local.folder {
            Folder::Inbox => MailboxId::INBOX,
            Folder::Junk => self.desk.junk(local.account).await?,
        };
        let via = match local.via {
            Via::Group(group) => Some(group),
            Via::Direct | Via::Postmaster | Via::CatchAll => None,
        };
        self.parts.targets.push(Target {
            account: local.account,
            mailbox,
            flags: Flags::default(),
            form,
            origin: Origin::Ordinary,
            via,
            quota: quota(account),
        });
        Ok(())
    }

    async fn remote(&mut self, remote: &Remote, plan: &Plan) -> Result<(), store::Error> {
        let form = self.form_of(&remote.forwarded_by, remote.delivery);
        let queued = self.queued(remote, plan);
        let reverse_path = match &remote.reverse_path {
            Return::Sender => self.letter.sender.reverse_path.clone(),
            Return::Rewritten(domain) => self.rewritten(domain, &queued.returns).await?,
            Return::Managers(group) => self.managers(*group),
            Return::Administrators => match (self.domain_of_hook(), &queued.returns) {
                (Some(domain), Returns::Forwarder { .. }) => self.rewritten(&domain, &queued.returns).await?,
                // Bounces of the next host would come to the sender.
                _ => ReversePath::Null,
            },
        };
        self.parts.queue.push(NewQueueItem { form, reverse_path, remote: queued });
        Ok(())
    }

    /// What goes with a copy that leaves. What the sender asked for goes with its own recipients: of members of a group
    /// and of where an account forwards to it knows nothing (RFC 3461 §5.2.7).
    fn queued(&self, remote: &Remote, plan: &Plan) -> store::Remote {
        let letter = self.letter;
        let sender = match (&letter.sender.origin, &letter.sender.reverse_path) {
            (sender::Origin::Authenticated { account, .. }, _) => QueueSender::Account(*account),
            (_, ReversePath::Address(address)) => QueueSender::Address(address.to_string().to_lowercase()),
            (_, ReversePath::Null) => QueueSender::Nobody,
        };
        let tls = if letter.wishes.requires_tls { TlsWish::Required } else { TlsWish::AsPublished };
        let is_bulk = self.parts.is_bulk;
        let keeps = |account| plan.local.iter().any(|local| local.account == account);
        let returns = match (&remote.reverse_path, remote.forwarded_by.last()) {
            (Return::Managers(group), _) => Returns::Managers(*group),
            // What is kept is not lost: the sender learns nothing of the forward (policy semantics §11.3).
            (_, Some(&account)) => match &letter.sender.reverse_path {
                ReversePath::Address(to) if !keeps(account) && self.is_told(remote) => Returns::Original(to.clone()),
                _ => Returns::Forwarder { account, keeps: keeps(account) },
            },
            (Return::Rewritten(domain), None) => self.returns_of_rule(domain, remote, plan),
            (Return::Administrators, None) => self.returns_of_hook(),
            (Return::Sender, None) => Returns::Sender,
        };
        // Bounces of the next host would come to the sender too.
        let is_rewritten = matches!(remote.reverse_path, Return::Rewritten(_));
        let is_silent = is_rewritten && returns == Returns::Sender && !self.wants_failure(remote);
        let notify = is_silent.then(Notify::default);
        let queued = store::Remote { returns, is_bulk, tls, notify, ..store::Remote::new(remote.to.clone(), sender) };
        let is_own = remote.reverse_path == Return::Sender && remote.forwarded_by.is_empty();
        let given = |r: &&Recipient| matches!(&r.addressed, Addressed::External(to) if to.key() == remote.to.key());
        let Some(given) = letter.recipients.iter().find(given).filter(|_| is_own) else { return queued };
        store::Remote {
            notify: given.notify,
            original: given.original.clone(),
            envelope_id: letter.wishes.envelope_id.map(str::to_owned),
            ret: letter.wishes.ret,
            ..queued
        }
    }

    /// Who sent the message can be told of a forward of which no copy is kept, and wants to be.
    fn is_told(&self, remote: &Remote) -> bool {
        self.letter.sender.is_answerable() && self.wants_failure(remote)
    }

    /// Who sent the message wants to hear of a failure (RFC 3461 §4.1) of the recipient that led to this copy, or of any,
    /// if it was a rule that did.
    fn wants_failure(&self, remote: &Remote) -> bool {
        let (letter, expansion) = (self.letter, &self.parts.expansion);
        let delivery = expansion.deliveries.get(remote.delivery);
        let given = delivery.and_then(|delivery| aftermath::given(letter, expansion, delivery));
        let is_given = |address: &Address| {
            letter.recipients.iter().any(|r| Address::parse(&r.address).is_ok_and(|r| r.key() == address.key()))
        };
        match given.filter(|address| is_given(address)) {
            Some(address) => letter.wants_failure_of(&address),
            // It may have come from one whom a hook has named.
            None if letter.recipients.iter().any(|recipient| recipient.by_hook) => false,
            None => letter.recipients.is_empty() || letter.recipients.iter().any(Recipient::wants_failure),
        }
    }

    /// Who hears of a copy that a rule has sent elsewhere: who sent the message, if it is nowhere else and that can be
    /// told; otherwise an administrator of the rule's organisation, since the sender knows nothing of the rule.
    fn returns_of_rule(&self, domain: &Domain, remote: &Remote, plan: &Plan) -> Returns {
        let (directory, sender) = (self.letter.directory, self.letter.sender);
        let keeps = plan.local.iter().any(|local| local.delivery == remote.delivery);
        let admin = || directory.active_admin(directory.organisation_of(domain)?);
        match (&sender.reverse_path, admin()) {
            (ReversePath::Address(to), _) if !keeps && self.is_told(remote) => Returns::Original(to.clone()),
            (_, Some(admin)) => Returns::Forwarder { account: admin.id, keeps },
            (_, None) => Returns::Sender,
        }
    }

    /// Who hears of a copy for a recipient whom a hook has named: an administrator of an organisation that the message has
    /// to do with. If there is none, nobody: what fails for a reverse-path that is null is told to nobody.
    fn returns_of_hook(&self) -> Returns {
        let letter = self.letter;
        let admin = concerned(letter).and_then(|organisation| letter.directory.active_admin(organisation));
        let keeps = letter.recipients.iter().any(|recipient| !recipient.by_hook);
        admin.map_or(Returns::Sender, |admin| Returns::Forwarder { account: admin.id, keeps })
    }

    /// The domain of ours for the reverse-path of such a copy: the sender's, if it has one.
    fn domain_of_hook(&self) -> Option<Domain> {
        let letter = self.letter;
        let sender = letter.sender.account().and_then(|id| letter.directory.account(id));
        sender.and_then(|account| account.address.domain().cloned()).or_else(|| domain_of(letter))
    }

    /// The form with the fields that forwards and rules put in front.
    fn form_of(&mut self, forwarded_by: &[AccountId], delivery: usize) -> usize {
        let list_id = self.list_id(delivery);
        let outcome = &self.parts.outcome;
        let is_plain = list_id.is_empty() && outcome.tags.is_empty() && outcome.subject_prefixes.is_empty();
        if is_plain && forwarded_by.is_empty() {
            return 0;
        }
        let mut lines = delivered_to_lines(self.letter.directory, forwarded_by);
        for (name, value) in outcome.tags_of(delivery) {
            lines.extend(header_field(name, value).unwrap_or_default());
        }
        lines.extend(list_id);
        let texts: Vec<&str> = outcome.subject_prefixes_of(delivery).collect();
        let subject = if texts.is_empty() { None } else { prefixed_subject(&texts, self.letter.header) };
        self.form(Added { lines, subject })
    }

    /// The List-Id of a copy that came through a group (policy semantics §6.5): that of the outermost group which wants
    /// one, since a list within a list leaves it as it is. A message that has one keeps it alone (RFC 2919 §6).
    fn list_id(&mut self, delivery: usize) -> Vec<u8> {
        let expansion = &self.parts.expansion;
        let Some(Via::Group(group)) = expansion.deliveries.get(delivery).map(|delivery| delivery.via) else {
            return Vec::new();
        };
        let (directory, header) = (self.letter.directory, self.letter.header);
        let made = || {
            let path = expansion.path(group);
            let list = path.iter().filter_map(|id| directory.group(*id)).find(|group| group.list_id);
            let list = list.filter(|_| !header::contains(header, "List-Id"));
            list.and_then(|group| list_id_field(&group.address)).unwrap_or_default()
        };
        self.list_ids.entry(group).or_insert_with(made).clone()
    }

    /// One copy for each monitor (policy semantics §13.5). A failure delays nobody, unless a rule wants no acceptance
    /// without the copy.
    async fn copies(&mut self) -> Result<(), store::Error> {
        let mut copies = self.parts.outcome.copies.clone();
        copies.retain(|copy| copy.is_made(&self.parts.plan));
        for copy in copies {
            let made = match copy.to {
                Some(to) => self.copy(&copy, to).await,
                None => Err(store::Error::NotFound),
            };
            match made {
                Ok(()) => {}
                Err(error) if copy.is_required => return Err(error),
                Err(error) => {
                    tracing::error!(id = %self.letter.id, monitor = %copy.monitor, %error, "monitor copy is undelivered");
                    let reason = Reason::Copy { monitor: copy.monitor, rules: copy.rules.clone() };
                    let organisation = self.letter.directory.account_organisation(copy.monitor);
                    self.hold(HoldKind::Quarantine, reason, Vec::new(), organisation, None).await?;
                }
            }
        }
        Ok(())
    }

    async fn copy(&mut self, copy: &Copy, to: AccountId) -> Result<(), store::Error> {
        // Also for a report, which is made later: where there is no folder there is no copy (W66).
        let mailbox = match &copy.folder {
            None => MailboxId::INBOX,
            Some(name) => self.desk.folder(to, name).await?,
        };
        if copy.form == CopyForm::Report {
            self.parts.reports.push(copy.clone());
            return Ok(());
        }
        let lines = monitored(self.letter, copy).told(monitor_block);
        let form = self.form(Added { lines, subject: None });
        let target = Target { form, origin: Origin::Monitor, ..Target::new(to, mailbox, Flags::default()) };
        self.parts.targets.push(target);
        Ok(())
    }

    /// Groups that wait for their moderators (policy semantics §9).
    async fn moderation(&mut self) -> Result<(), store::Error> {
        if self.parts.outcome.moderation_ended.is_some() {
            return Ok(());
        }
        for held in self.parts.expansion.held.clone() {
            let Some(group) = self.letter.directory.group(held.group) else { continue };
            let reason = Reason::Group { group: held.group, addressed: held.addressed };
            let approvers = group::moderators(self.letter.directory, group);
            let organisation = self.letter.directory.group_organisation(group.id);
            self.hold(HoldKind::Moderation, reason, approvers, organisation, Some(MODERATION)).await?;
        }
        Ok(())
    }

    /// Parts that wait for an approver whom a rule names (policy semantics §13.4).
    async fn rule_holds(&mut self) -> Result<(), store::Error> {
        for held in self.parts.outcome.held.clone() {
            let reason = Reason::Rule {
                rule: held.position.rule,
                priority: held.position.priority,
                part: self.receivers(&held.part),
                is_whole: held.part.is_whole,
                releases_at_timeout: held.outcome == HoldOutcome::Release,
                copies: held.copies,
                forwards: held.forwards,
            };
            let organisation = self.letter.directory.rule(held.position.rule).map(|r| r.organisation);
            let patience = Duration::from_secs(u64::from(held.timeout_hours) * 3600);
            self.hold(HoldKind::Approval, reason, held.approvers, organisation, Some(patience)).await?;
        }
        Ok(())
    }

    /// Parts that wait for an admin (policy semantics §13.4).
    async fn quarantine(&mut self) -> Result<(), store::Error> {
        for part in self.parts.outcome.quarantined.clone() {
            let Some(rule) = self.letter.directory.rule(part.rule) else { continue };
            let reason = Reason::Rule {
                rule: rule.id,
                priority: rule.priority,
                part: self.receivers(&part.part),
                is_whole: part.part.is_whole,
                releases_at_timeout: false,
                copies: Vec::new(),
                forwards: Vec::new(),
            };
            self.hold(HoldKind::Quarantine, reason, Vec::new(), Some(rule.organisation), None).await?;
        }
        Ok(())
    }

    fn receivers(&self, part: &rules::Part) -> Vec<StoredDelivery> {
        let deliveries = &self.parts.expansion.deliveries;
        part.deliveries.iter().filter_map(|place| deliveries.get(*place)).map(StoredDelivery::of).collect()
    }

    /// SRS (policy semantics §11.3); an address too long for it is stored under a token. Bounces belong to who hears of
    /// failures here.
    async fn rewritten(&mut self, domain: &Domain, returns: &Returns) -> Result<ReversePath, store::Error> {
        let (path, now) = (&self.letter.sender.reverse_path, self.letter.now);
        let owner = match returns {
            Returns::Forwarder { account, keeps } => Some(Forwarder { account: *account, keeps: *keeps }),
            Returns::Sender | Returns::Original(_) | Returns::Managers(_) => None,
        };
        match (srs::rewrite(path, owner, domain, &self.desk.srs, now), path) {
            (Rewritten::Path(path), _) => Ok(path),
            (Rewritten::NeedsToken, ReversePath::Null) => Ok(ReversePath::Null),
            (Rewritten::NeedsToken, ReversePath::Address(address)) => {
                let token = self.letter.id.to_string();
                let made = srs::token_address(&token, owner, domain, &self.desk.srs, now);
                let (Ok(made), Some(key)) = (made, StateKey::new(token_key(&token))) else {
                    return Ok(ReversePath::Null);
                };
                if owner.is_none() {
                    self.parts.extra.push((key, address.to_string().into_bytes()));
                }
                Ok(ReversePath::Address(made))
            }
        }
    }

    /// Failures of copies to external members go to the managers (policy semantics §6.5).
    fn managers(&self, group: GroupId) -> ReversePath {
        let domain = self.letter.directory.group(group).and_then(|g| g.address.domain());
        let address = domain.and_then(|d| srs::bounce_address(group, d, &self.desk.srs, self.letter.now).ok());
        address.map_or(ReversePath::Null, ReversePath::Address)
    }

    /// A part that waits, with a copy in the Approvals folder of each who may decide.
    async fn hold(
        &mut self,
        kind: HoldKind,
        reason: Reason,
        approvers: Vec<AccountId>,
        organisation: Option<OrganisationId>,
        patience: Option<Duration>,
    ) -> Result<(), store::Error> {
        let Some(organisation) = organisation else { return Ok(()) };
        for approver in &approvers {
            let shows = |t: &Target| t.account == *approver && t.origin == Origin::Approval;
            if self.parts.targets.iter().any(shows) {
                continue;
            }
            for name in [APPROVE, REFUSE] {
                if let Ok(name) = MailboxName::parse(name) {
                    self.desk.folder(*approver, &name).await?;
                }
            }
            let Ok(name) = MailboxName::parse(APPROVALS) else { continue };
            let mailbox = self.desk.folder(*approver, &name).await?;
            self.parts
                .targets
                .push(Target { origin: Origin::Approval, ..Target::new(*approver, mailbox, Flags::default()) });
        }
        let waiting = aftermath::waiting(self.letter, &self.parts.expansion, &reason);
        let held = HeldPart::new(self.letter, reason, approvers, waiting);
        let limit = self.letter.directory.organisation(organisation).and_then(|o| o.hold_limit);
        let expires = patience.map(|patience| self.letter.now.after(patience));
        self.parts.holds.push(NewHold {
            form: 0,
            organisation,
            kind,
            expires,
            data: held.encode(),
            limit: Some(limit.unwrap_or(HOLD_LIMIT)),
        });
        self.parts.held.push(held);
        Ok(())
    }
}

/// The state row that keeps what a token of a rewritten reverse-path stands for.
pub fn token_key(token: &str) -> String {
    format!("srs/{token}")
}

/// What an account may store.
fn quota(account: &Account) -> Option<u64> {
    Some(account.settings().quota).filter(|quota| *quota > 0)
}

/// One Delivered-To for each forwarding account, the last one first (policy semantics §11.2).
fn delivered_to_lines(directory: &Directory, by: &[AccountId]) -> Vec<u8> {
    let addresses = by.iter().rev().filter_map(|id| directory.account(*id)).map(|a| &a.address);
    addresses.map(|address| format!("Delivered-To: {address}\r\n")).collect::<String>().into_bytes()
}

/// What a monitor is told of a message; of its recipients those whom the monitor's organisation may know.
pub(super) fn monitored(letter: &Letter<'_>, copy: &Copy) -> Monitored {
    let directory = letter.directory;
    let event = copy.event;
    let monitors = directory.account_organisation(copy.monitor);
    let is_known = |text: &str| monitors.is_some_and(|id| may_know(directory, id, letter.sender, text));
    let recipients = letter.recipients.iter().filter(|r| is_known(&r.address));
    Monitored {
        rules: copy.rules.iter().filter_map(|id| Some(directory.rule(*id)?.name.clone())).collect(),
        event: directory.account(event.account).map(|account| (event.role, account.address.clone())),
        reverse_path: match &letter.sender.reverse_path {
            ReversePath::Null => None,
            ReversePath::Address(address) => Some(address.clone()),
        },
        recipients: recipients.filter_map(|r| Address::parse(&r.address).ok()).collect(),
    }
}

/// The folder that shows held messages to those who decide, and those into which they move them (policy semantics §9).
pub const APPROVALS: &str = "Approvals";
/// Moved here: accepted.
pub const APPROVE: &str = "Approvals/Accept";
/// Moved here: refused.
pub const REFUSE: &str = "Approvals/Refuse";

/// How long moderators have (policy semantics §9).
const MODERATION: Duration = Duration::from_secs(72 * 3600);

/// What an organisation may hold unless it says otherwise, in octets.
const HOLD_LIMIT: u64 = 1 << 30;

/// Copies of one message that may leave before they count as many.
const ORDINARY: usize = 20;
/// Delivered-To fields that are looked at: more hops than a message survives.
const MAX_DELIVERED_TO: usize = 100;
