//! Accounts and aliases (policy semantics §5, §10, §11).

use super::*;
use crate::directory::{AutoReply, Target};

impl Draft {
    pub(super) fn put_account(&mut self, account: &Account) -> Result<(), Refusal> {
        self.check_free(&account.address, Bound::Account(account.id))?;
        let domain = account.address.domain().and_then(|d| self.next.domain(d)).cloned();
        let domain = domain.ok_or_else(|| Refusal::ForeignDomain(account.address.clone()))?;
        if domain.alias_of.is_some() {
            return Err(Refusal::Invalid(format!("domain {} is a second name and holds no accounts", domain.name)));
        }
        self.check_departments(account, domain.organisation)?;
        check_settings(account)?;
        let old = self.next.accounts.get(&account.id).cloned();
        match &old {
            Some(old) => {
                self.check_last_admin(old, Some(account))?;
                if old.address != account.address {
                    self.unbind(&old.address);
                }
            }
            None => claim(&mut self.next.counters, |c| &mut c.account, account.id.number(), "account")?,
        }
        if old.as_ref().is_none_or(|old| old.address != account.address) {
            self.bind(&account.address, Bound::Account(account.id));
        }
        self.move_staff(account.id, old.map_or(Vec::new(), |o| o.departments.clone()), &account.departments);
        Arc::make_mut(&mut self.next.accounts).insert(account.id, Arc::new(account.clone()));
        self.write(record::ACCOUNT, account.id.number(), account);
        Ok(())
    }

    pub(super) fn remove_account(&mut self, id: AccountId) -> Result<(), Refusal> {
        let account = self.next.accounts.get(&id).ok_or_else(|| Refusal::NotFound(format!("account {id}")))?.clone();
        self.check_last_admin(&account, None)?;
        Arc::make_mut(&mut self.next.accounts).remove(&id);
        self.unbind(&account.address);
        self.move_staff(id, account.departments.clone(), &[]);
        self.delete(record::ACCOUNT, id.number());
        let aliases: Vec<AliasId> = self.next.aliases_of(id).map(|a| a.id).collect();
        aliases.into_iter().try_for_each(|alias| self.remove_alias(alias))
    }

    pub(super) fn put_alias(&mut self, alias: &Alias) -> Result<(), Refusal> {
        let owner = self.next.accounts.get(&alias.account).filter(|a| a.state.is_present());
        if owner.is_none() {
            return Err(Refusal::NotFound(format!("account {}", alias.account)));
        }
        self.check_free(&alias.address, Bound::Alias(alias.id))?;
        match self.next.aliases.get(&alias.id) {
            Some(old) if old.address != alias.address || old.account != alias.account => {
                return Err(Refusal::Invalid(format!("alias {} keeps its address and its account", old.address)));
            }
            Some(_) => {}
            None => {
                if self.next.aliases_of(alias.account).count() >= ALIASES_PER_ACCOUNT {
                    return Err(Refusal::Limit(format!("an account has at most {ALIASES_PER_ACCOUNT} aliases")));
                }
                claim(&mut self.next.counters, |c| &mut c.alias, alias.id.number(), "alias")?;
                self.bind(&alias.address, Bound::Alias(alias.id));
                Arc::make_mut(&mut self.next.account_aliases).entry(alias.account).or_default().push(alias.id);
            }
        }
        Arc::make_mut(&mut self.next.aliases).insert(alias.id, Arc::new(alias.clone()));
        self.write(record::ALIAS, alias.id.number(), alias);
        Ok(())
    }

    pub(super) fn remove_alias(&mut self, id: AliasId) -> Result<(), Refusal> {
        let alias = Arc::make_mut(&mut self.next.aliases).remove(&id);
        let alias = alias.ok_or_else(|| Refusal::NotFound(format!("alias {id}")))?;
        self.unbind(&alias.address);
        let account_aliases = Arc::make_mut(&mut self.next.account_aliases);
        if let Some(ids) = account_aliases.get_mut(&alias.account) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                account_aliases.remove(&alias.account);
            }
        }
        self.delete(record::ALIAS, id.number());
        Ok(())
    }

    fn check_departments(&self, account: &Account, organisation: OrganisationId) -> Result<(), Refusal> {
        for id in &account.departments {
            let department = self.next.departments.get(id);
            let department = department.ok_or_else(|| Refusal::NotFound(format!("department {id}")))?;
            if department.organisation != organisation {
                return Err(Refusal::Invalid(format!("department {} is another organisation's", department.name)));
            }
        }
        Ok(())
    }

    /// The last active domain admin cannot be frozen, deleted or demoted (policy semantics §10.1).
    fn check_last_admin(&self, old: &Account, new: Option<&Account>) -> Result<(), Refusal> {
        let is_active_admin = |a: &Account| a.settings().is_admin && a.state.is_active();
        if !is_active_admin(old) || new.is_some_and(is_active_admin) {
            return Ok(());
        }
        let organisation = self.next.account_organisation(old.id);
        let other = |id| self.next.admins(id).any(|a| a.id != old.id && a.state.is_active());
        if organisation.is_some_and(other) { Ok(()) } else { Err(Refusal::LastAdmin(old.address.clone())) }
    }

    fn move_staff(&mut self, account: AccountId, mut from: Vec<DepartmentId>, to: &[DepartmentId]) {
        from.sort_unstable();
        let mut wanted = to.to_vec();
        wanted.sort_unstable();
        if from == wanted {
            return;
        }
        let staff = Arc::make_mut(&mut self.next.staff);
        for department in from {
            if let Some(accounts) = staff.get_mut(&department) {
                accounts.remove(&account);
            }
        }
        for department in wanted {
            staff.entry(department).or_default().insert(account);
        }
    }
}

fn check_settings(account: &Account) -> Result<(), Refusal> {
    let invalid = |what: String| Err(Refusal::Invalid(what));
    let settings = account.settings();
    let targets = settings.forward.as_ref().map(|f| f.targets.len()).into_iter();
    for count in targets.chain(settings.admin_forward.as_ref().map(|f| f.targets.len())) {
        if count == 0 || count > FORWARD_TARGETS {
            return invalid(format!("a forward has 1 to {FORWARD_TARGETS} targets"));
        }
    }
    let forwards = settings.forward.iter().flat_map(|f| f.targets.iter().map(|t| &t.to));
    let mut targets = forwards.chain(settings.admin_forward.iter().flat_map(|f| &f.targets));
    if targets.any(|target| *target == Target::Account(account.id)) {
        return invalid("an account does not forward to itself".to_owned());
    }
    for reply in [&settings.vacation, &settings.admin_reply].into_iter().flatten() {
        check_reply(reply)?;
    }
    if settings.grants.len() > LIST_ENTRIES {
        return invalid(format!("an account has at most {LIST_ENTRIES} grants"));
    }
    let listed = [&settings.send_scope, &settings.receive_scope].into_iter().any(|scope| match scope {
        crate::directory::Scope::List(list) => list.len() > LIST_ENTRIES,
        _ => false,
    });
    if listed {
        return invalid(format!("a scope lists at most {LIST_ENTRIES} addresses"));
    }
    let limits = [settings.messages_per_minute, settings.recipients_per_day];
    if limits.into_iter().flatten().any(|limit| limit > MOST_PER_LIMIT) {
        return invalid(format!("a limit of what an account sends is at most {MOST_PER_LIMIT}"));
    }
    lists::check(settings.blocked.iter().map(|b| &b.sender), &settings.allowed)?;
    match settings.refusal_text.as_deref() {
        Some(text)
            if text.is_empty() || text.len() > 400 || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) =>
        {
            invalid("a refusal text is 1 to 400 printable ASCII characters".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_reply(reply: &AutoReply) -> Result<(), Refusal> {
    if !(1..=720).contains(&reply.interval_hours) {
        return Err(Refusal::Invalid("the interval of an auto reply is 1 to 720 hours".to_owned()));
    }
    let texts = [Some(&reply.text), reply.external_text.as_ref()];
    if texts.into_iter().flatten().any(|t| t.is_empty() || t.len() > 20_000) || reply.subject_prefix.len() > 100 {
        return Err(Refusal::Invalid(
            "the text of an auto reply is 1 to 20000 octets, its prefix at most 100".to_owned(),
        ));
    }
    Ok(())
}

/// Entries of a list that an account carries.
const LIST_ENTRIES: usize = 1000;

/// What a limit of messages or recipients may say: the messages of the last minute are kept one by one.
const MOST_PER_LIMIT: u32 = 1_000_000;
