//! `posthouse account`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, Failure, new_accounts, path};
use super::command::{Format, Switch};
use super::password::{self, PasswordSource};
use super::{group, output};
use crate::server::admin::view::Page;

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Add accounts; several get the same password.
    Add {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
        #[command(flatten)]
        password: PasswordSource,
        /// Shared accounts: nobody logs in to them, and they have no password.
        #[arg(long, conflicts_with_all = ["password_stdin", "generate_password"])]
        shared: bool,
    },
    /// List the accounts: address, and state if it is not active.
    List {
        /// Only those of this domain.
        #[arg(long)]
        domain: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only those in this department or below.
        #[arg(long, value_name = "PATH")]
        department: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one account with its aliases.
    Show {
        /// Primary address.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Set the password of an account.
    Password {
        /// Primary address.
        address: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List the locks on an account after failed logins: address or *, end.
    Locks {
        /// Primary address.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Unlock accounts and forget their failed logins.
    Unlock {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
    },
    /// Remove accounts with their aliases and all their mail.
    Remove {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
    },
    /// Rename an account; what names it goes on to.
    Address {
        /// Primary address.
        address: String,
        /// The new one.
        new: String,
    },
    /// Activate, block, freeze or bin an account.
    State {
        /// Primary address.
        address: String,
        /// What it may do from now on.
        #[arg(value_parser = ["active", "send-blocked", "frozen", "binned"])]
        state: String,
        /// What becomes of mail while it is frozen.
        #[arg(long, value_parser = ["reject", "store", "forward", "store+forward"])]
        incoming: Option<String>,
        /// What a sender reads when mail is refused.
        #[arg(long)]
        text: Option<String>,
    },
    /// Make an account a domain admin, or not.
    Admin {
        /// Primary address.
        address: String,
        /// Whether it is one.
        admin: Switch,
    },
    /// Set an account's departments, the main one first; none without a path.
    Department {
        /// Primary address.
        address: String,
        /// Such as /Sales/East.
        path: Vec<String>,
    },
    /// Set with whom an account may correspond; what is not named stays.
    Scope {
        /// Primary address.
        address: String,
        /// To whom it may send: any, internal, none, or addresses and domains (*@DOMAIN) besides the organisation.
        #[arg(long, value_name = "WHOM")]
        send: Vec<String>,
        /// From whom it receives, likewise.
        #[arg(long, value_name = "WHOM")]
        receive: Vec<String>,
    },
    /// Limit an account's mail; what is not named stays.
    Quota {
        /// Primary address.
        address: String,
        /// All its mail, such as 2GiB; 0 for no limit.
        quota: Option<String>,
        /// One message; 0 for the server's limit.
        #[arg(long, value_name = "SIZE")]
        message: Option<String>,
    },
    /// Limit what an account sends; what is not named is as the server says.
    SendLimits {
        /// Primary address.
        address: String,
        /// 0 for no limit.
        #[arg(long, value_name = "N")]
        messages_per_minute: Option<u32>,
        /// 0 for no limit.
        #[arg(long, value_name = "N")]
        recipients_per_day: Option<u32>,
    },
    /// Let accounts send again whose sending the server has stopped, and what of theirs is held go out.
    ReleaseSending {
        /// Primary address.
        #[arg(required = true)]
        address: Vec<String>,
    },
    /// Set or end the owner's forward.
    Forward(Forward),
    /// Ask the targets elsewhere of the owner's forward once more, as far as they have not confirmed.
    AskForward {
        /// Primary address.
        address: String,
        /// Only this one.
        target: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Set or end an administrator's forward.
    AdminForward {
        #[command(flatten)]
        forward: Forward,
        /// The owner does not see it.
        #[arg(long)]
        concealed: bool,
    },
    /// Set or end the owner's auto reply.
    Vacation(Reply),
    /// Set or end an administrator's auto reply.
    AdminReply(Reply),
    /// Set whom an account does not want to hear; nobody without a sender.
    Block {
        /// Primary address.
        address: String,
        /// ADDRESS or *@DOMAIN; their mail goes to Junk, or with =drop nowhere.
        #[arg(value_name = "SENDER[=junk|drop]")]
        sender: Vec<String>,
    },
    /// Set the senders whose mail is no junk for an account, once they are proven; nobody without a sender.
    Allow {
        /// Primary address.
        address: String,
        /// ADDRESS or *@DOMAIN.
        sender: Vec<String>,
    },
    /// Set the rights of others on an account; none without one.
    Grant {
        /// Primary address.
        address: String,
        /// Who, and which right.
        #[arg(value_name = "ACCOUNT=read|send-as|send-on-behalf")]
        grant: Vec<String>,
    },
}

/// A forward.
#[derive(Args, Debug)]
pub struct Forward {
    /// Primary address.
    address: String,
    /// Where to.
    #[arg(required_unless_present = "off")]
    target: Vec<String>,
    /// Keep no copy.
    #[arg(long)]
    no_keep: bool,
    /// End it.
    #[arg(long, conflicts_with_all = ["target", "no_keep"])]
    off: bool,
}

/// An auto reply.
#[derive(Args, Debug)]
pub struct Reply {
    /// Primary address.
    address: String,
    /// To everybody, or to the organisation if there is another text for the others.
    #[arg(long, required_unless_present = "off")]
    text: Option<String>,
    /// To everybody outside the organisation.
    #[arg(long)]
    external_text: Option<String>,
    /// Goes in front of the subject.
    #[arg(long)]
    subject_prefix: Option<String>,
    /// Hours before the same sender is answered again.
    #[arg(long)]
    interval_hours: Option<u32>,
    /// From this day or moment on (RFC 3339).
    #[arg(long)]
    from: Option<String>,
    /// Until then.
    #[arg(long)]
    until: Option<String>,
    /// Answer only these: ADDRESS or *@DOMAIN.
    #[arg(long, value_name = "PATTERN")]
    contact: Vec<String>,
    /// End it.
    #[arg(long, conflicts_with = "text")]
    off: bool,
}

/// Carries out one command.
pub fn run(client: &Client, command: AccountCommand) -> Result<(), Failure> {
    let set = |address: &str, part: &str, body: Value| client.put(&path(&["accounts", address, part]), &body);
    match command {
        AccountCommand::Add { address, shared: true, .. } => {
            let add = |a: &String| client.add("/accounts", &json!({ "address": a, "kind": "shared" })).map(drop);
            address.iter().try_for_each(add)
        }
        AccountCommand::Add { address, password, shared: false } => add(client, &address, password),
        AccountCommand::List { domain, state, department, format } => {
            let parameters =
                [("domain", domain.as_deref()), ("state", state.as_deref()), ("department", department.as_deref())];
            list(client, &parameters, format)
        }
        AccountCommand::Show { address, format } => group::show(client, &path(&["accounts", &address]), format),
        AccountCommand::Password { address, password: source } => {
            let password = password::obtain(source)?;
            set(&address, "password", json!({ "password": password }))?;
            tell(source, &password);
            Ok(())
        }
        AccountCommand::Locks { address, format } => locks(client, &address, format),
        AccountCommand::Unlock { address } => {
            address.iter().try_for_each(|a| client.remove(&path(&["accounts", a, "locks"])))
        }
        AccountCommand::Remove { address } => address.iter().try_for_each(|a| client.remove(&path(&["accounts", a]))),
        AccountCommand::Address { address, new } => set(&address, "address", json!({ "address": new })),
        AccountCommand::State { address, state, incoming, text } => {
            set(&address, "state", json!({ "state": state, "incoming": incoming, "refusal_text": text }))
        }
        AccountCommand::Admin { address, admin } => set(&address, "admin", json!({ "admin": admin.is_on() })),
        AccountCommand::Department { address, path } => set(&address, "departments", json!({ "departments": path })),
        AccountCommand::Scope { address, send, receive } => {
            set(&address, "scopes", json!({ "send_scope": scope(send), "receive_scope": scope(receive) }))
        }
        AccountCommand::Quota { address, quota, message } => {
            set(&address, "quota", json!({ "quota": quota, "max_message": message }))
        }
        AccountCommand::SendLimits { address, messages_per_minute, recipients_per_day } => {
            let body = json!({ "messages_per_minute": messages_per_minute, "recipients_per_day": recipients_per_day });
            set(&address, "send-limits", body)
        }
        AccountCommand::ReleaseSending { address } => {
            address.iter().try_for_each(|a| client.remove(&path(&["accounts", a, "suspension"])))
        }
        AccountCommand::Forward(forward) => set_forward(client, "forward", forward, None),
        AccountCommand::AskForward { address, target, format } => ask_forward(client, &address, target, format),
        AccountCommand::AdminForward { forward, concealed } => {
            set_forward(client, "admin-forward", forward, Some(concealed))
        }
        AccountCommand::Vacation(reply) => set_reply(client, "vacation", reply),
        AccountCommand::AdminReply(reply) => set_reply(client, "admin-reply", reply),
        AccountCommand::Block { address, sender } => {
            let blocked: Vec<Value> = sender.iter().map(|s| blocked(s)).collect();
            set(&address, "blocked", json!({ "blocked": blocked }))
        }
        AccountCommand::Allow { address, sender } => set(&address, "allowed", json!({ "allowed": sender })),
        AccountCommand::Grant { address, grant } => {
            let grants: Vec<Value> = grant.iter().map(|g| granted(g)).collect::<Result<_, _>>()?;
            set(&address, "grants", json!({ "grants": grants }))
        }
    }
}

fn add(client: &Client, addresses: &[String], source: PasswordSource) -> Result<(), Failure> {
    let password = password::obtain(source)?;
    // Each part is one change: all of its accounts or none.
    addresses
        .chunks(ACCOUNTS_AT_ONCE)
        .try_for_each(|part| client.add("/accounts/batch", &new_accounts(part, &password)).map(drop))?;
    tell(source, &password);
    Ok(())
}

fn list(client: &Client, parameters: &[(&str, Option<&str>)], format: Format) -> Result<(), Failure> {
    let accounts: Vec<Value> = client.list("/accounts", parameters)?;
    if format.json {
        return output::json(&accounts);
    }
    for account in &accounts {
        let text = |field| account.get(field).map(output::plain).unwrap_or_default();
        match text("state").as_str() {
            "active" => output::line(text("address")),
            state => output::line(format_args!("{}\t{state}", text("address"))),
        }
    }
    Ok(())
}

fn locks(client: &Client, address: &str, format: Format) -> Result<(), Failure> {
    let Page::<Value, Value> { items: locks, .. } = client.read(&path(&["accounts", address, "locks"]))?;
    if format.json {
        return output::json(&locks);
    }
    for lock in &locks {
        let client = lock.get("client").and_then(Value::as_str).unwrap_or("*");
        output::line(format_args!("{client}\t{}", lock.get("until").map(output::plain).unwrap_or_default()));
    }
    Ok(())
}

/// Nothing for a scope that is to stay.
fn scope(words: Vec<String>) -> Value {
    match &words[..] {
        [] => Value::Null,
        [word] if ["any", "internal", "none"].contains(&word.as_str()) => json!(word),
        list => json!(list),
    }
}

fn set_forward(client: &Client, part: &str, forward: Forward, concealed: Option<bool>) -> Result<(), Failure> {
    let at = path(&["accounts", &forward.address, part]);
    if forward.off {
        return client.remove(&at);
    }
    let mut body = json!({ "targets": forward.target, "keep": !forward.no_keep });
    if let (Some(concealed), Some(fields)) = (concealed, body.as_object_mut()) {
        fields.insert("concealed".to_owned(), concealed.into());
    }
    client.put(&at, &body)
}

fn ask_forward(client: &Client, address: &str, target: Option<String>, format: Format) -> Result<(), Failure> {
    let answer = client.add(&path(&["accounts", address, "forward", "ask"]), &json!({ "target": target }))?;
    let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if format.json {
        return output::json(&items);
    }
    for item in &items {
        let target = item.get("target").map(output::plain).unwrap_or_default();
        let is_mailed = item.get("mailed") == Some(&Value::Bool(true));
        output::line(format_args!("{target}\t{}", if is_mailed { "asked" } else { "asked lately" }));
    }
    Ok(())
}

fn set_reply(client: &Client, part: &str, reply: Reply) -> Result<(), Failure> {
    let at = path(&["accounts", &reply.address, part]);
    if reply.off {
        return client.remove(&at);
    }
    let body = json!({
        "text": reply.text,
        "external_text": reply.external_text,
        "subject_prefix": reply.subject_prefix,
        "interval_hours": reply.interval_hours,
        "from": reply.from,
        "until": reply.until,
        "contacts": (!reply.contact.is_empty()).then_some(reply.contact),
    });
    let given: Map<String, Value> = body
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    client.put(&at, &Value::Object(given))
}

/// SENDER, or SENDER=ACTION.
pub(super) fn blocked(text: &str) -> Value {
    match text.rsplit_once('=') {
        Some((sender, action)) => json!({ "sender": sender, "action": action }),
        None => json!({ "sender": text }),
    }
}

fn granted(text: &str) -> Result<Value, Failure> {
    match text.rsplit_once('=') {
        Some((to, right)) => Ok(json!({ "to": to, "right": right })),
        None => Err(Failure::Usage(format!("{text:?}: ACCOUNT=read, ACCOUNT=send-as or ACCOUNT=send-on-behalf"))),
    }
}

/// A made-up password is written once it is in force, so that nobody notes one that was refused.
fn tell(source: PasswordSource, password: &str) {
    if source.generate_password {
        output::line(password);
    }
}

/// What the API takes in one change.
const ACCOUNTS_AT_ONCE: usize = 1000;
