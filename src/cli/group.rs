//! `posthouse group`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, Failure, path};
use super::command::{Format, Switch};
use super::output;

/// Groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Add a group.
    Add(NewGroup),
    /// List the groups: address, who may send, number of entries.
    List {
        /// Only those of this domain.
        #[arg(long)]
        domain: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one group.
    Show {
        /// Its address, or one of its further ones.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Remove groups.
    Remove {
        /// Addresses.
        #[arg(required = true)]
        address: Vec<String>,
    },
    /// Who is in a group.
    #[command(subcommand)]
    Members(Members),
    /// Set who may send to a group; what is not named stays.
    Permission {
        /// Its address.
        address: String,
        /// Who may send.
        #[arg(value_parser = MODES, required_unless_present = "require_auth")]
        mode: Option<String>,
        /// Only authenticated senders and trusted relays.
        #[arg(long)]
        require_auth: Option<Switch>,
    },
    /// Who may send to a group besides.
    #[command(subcommand)]
    Whitelist(Whitelist),
    /// Set what is held for approval.
    Moderation {
        /// Its address.
        address: String,
        /// Which messages are held.
        #[arg(value_parser = MODERATED)]
        when: String,
        /// Who decides.
        #[arg(long, value_name = "ACCOUNT")]
        moderator: Vec<String>,
        /// Whose messages are not held.
        #[arg(long, value_name = "ENTRY")]
        bypass: Vec<String>,
    },
    /// Set other things of a group; what is not named stays.
    Set {
        /// Its address.
        address: String,
        #[command(flatten)]
        settings: Settings,
    },
}

/// A new group.
#[derive(Args, Debug)]
pub struct NewGroup {
    /// Its address.
    address: String,
    /// Who may send; same-domain without it.
    #[arg(long, value_parser = MODES)]
    permission: Option<String>,
    /// An entry of the whitelist.
    #[arg(long, value_name = "ENTRY")]
    whitelist: Vec<String>,
    /// A member: ADDRESS, group:ADDRESS, department:/PATH or department-only:/PATH.
    #[arg(long, value_name = "ENTRY")]
    member: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

/// What can be set of a group by itself.
#[derive(Args, Debug)]
pub struct Settings {
    /// For people.
    #[arg(long)]
    description: Option<String>,
    /// The department it belongs to.
    #[arg(long, value_name = "PATH")]
    department: Option<String>,
    /// In no list, and unknown to whoever may not send.
    #[arg(long)]
    hidden: Option<Switch>,
    /// External members receive.
    #[arg(long)]
    external_members: Option<Switch>,
    /// A member who sends gets the message as well.
    #[arg(long)]
    deliver_to_sender: Option<Switch>,
    /// A List-Id field on its copies.
    #[arg(long)]
    list_id: Option<Switch>,
    /// Largest message, such as 10MiB; 0 for the server's limit.
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// Further addresses: replaces them all.
    #[arg(long, value_name = "ADDRESS")]
    alias: Vec<String>,
    /// Who may change it: replaces them all.
    #[arg(long, value_name = "ACCOUNT")]
    manager: Vec<String>,
    /// An account that is not in it although a department of it is: replaces them all.
    #[arg(long, value_name = "ACCOUNT")]
    exclude: Vec<String>,
}

/// Who is in a group.
#[derive(Debug, Subcommand)]
pub enum Members {
    /// List them, one entry to a line.
    List {
        /// The group.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Add some.
    Add {
        /// The group.
        address: String,
        /// ADDRESS, group:ADDRESS, department:/PATH or department-only:/PATH.
        #[arg(required = true)]
        member: Vec<String>,
        /// For groups: whether the inner group's permission still matters.
        #[arg(long, value_parser = ["check", "inherit"])]
        edge: Option<String>,
    },
    /// Take some out.
    Remove {
        /// The group.
        address: String,
        /// As they are listed, or any address of theirs.
        #[arg(required = true)]
        member: Vec<String>,
    },
}

/// Who may send to a group besides.
#[derive(Debug, Subcommand)]
pub enum Whitelist {
    /// Add entries.
    Add {
        /// The group.
        address: String,
        /// ADDRESS, group:ADDRESS, department:/PATH, *@DOMAIN or *@*.DOMAIN.
        #[arg(required = true)]
        entry: Vec<String>,
    },
    /// Take entries off.
    Remove {
        /// The group.
        address: String,
        /// As they are listed.
        #[arg(required = true)]
        entry: Vec<String>,
    },
}

/// Carries out one command.
pub fn run(client: &Client, command: GroupCommand) -> Result<(), Failure> {
    let at = |address: &str, part: &str| path(&["groups", address, part]);
    match command {
        GroupCommand::Add(group) => client.add("/groups", &group.body()).map(drop),
        GroupCommand::List { domain, format } => {
            let groups: Vec<Value> = client.list("/groups", &[("domain", domain.as_deref())])?;
            if format.json {
                return output::json(&groups);
            }
            output::rows(&groups, &["address", "permission", "members"]);
            Ok(())
        }
        GroupCommand::Show { address, format } => show(client, &path(&["groups", &address]), format),
        GroupCommand::Remove { address } => address.iter().try_for_each(|a| client.remove(&path(&["groups", a]))),
        GroupCommand::Members(command) => members(client, command),
        GroupCommand::Permission { address, mode, require_auth } => {
            let body = json!({ "permission": mode, "require_auth": require_auth.map(Switch::is_on) });
            client.put(&at(&address, "permission"), &body)
        }
        GroupCommand::Whitelist(Whitelist::Add { address, entry }) => {
            client.add(&at(&address, "whitelist"), &json!({ "whitelist": entry })).map(drop)
        }
        GroupCommand::Whitelist(Whitelist::Remove { address, entry }) => {
            entry.iter().try_for_each(|e| client.remove(&path(&["groups", &address, "whitelist", e])))
        }
        GroupCommand::Moderation { address, when, moderator, bypass } => {
            let body = json!({ "when": when, "moderators": moderator, "bypass": bypass });
            client.put(&at(&address, "moderation"), &body)
        }
        GroupCommand::Set { address, settings } => {
            client.put(&at(&address, "settings"), &Value::Object(settings.fields()))
        }
    }
}

fn members(client: &Client, command: Members) -> Result<(), Failure> {
    match command {
        Members::List { address, format } => {
            let answer: Value = client.read(&path(&["groups", &address, "members"]))?;
            let members = answer.get("members").cloned().unwrap_or_default();
            if format.json {
                return output::json(&members);
            }
            for member in members.as_array().into_iter().flatten() {
                match (member.get("group"), member.get("edge")) {
                    (Some(group), Some(edge)) => {
                        output::line(format_args!("group:{}\t{}", output::plain(group), output::plain(edge)));
                    }
                    _ => output::line(output::plain(member)),
                }
            }
            Ok(())
        }
        Members::Add { address, member, edge } => {
            let entry = |member: String| match &edge {
                Some(edge) => json!({ "group": member.strip_prefix("group:").unwrap_or(&member), "edge": edge }),
                None => Value::String(member),
            };
            let members: Vec<Value> = member.into_iter().map(entry).collect();
            client.add(&path(&["groups", &address, "members"]), &json!({ "members": members })).map(drop)
        }
        Members::Remove { address, member } => {
            member.iter().try_for_each(|m| client.remove(&path(&["groups", &address, "members", m])))
        }
    }
}

/// One object, as JSON or field by field.
pub fn show(client: &Client, path: &str, format: Format) -> Result<(), Failure> {
    let object: Value = client.read(path)?;
    if format.json {
        return output::json(&object);
    }
    output::object(&object);
    Ok(())
}

impl NewGroup {
    fn body(self) -> Value {
        let mut fields = self.settings.fields();
        let named = json!({
            "address": self.address,
            "permission": self.permission,
            "whitelist": self.whitelist,
            "members": self.member,
        });
        fields.extend(named.as_object().cloned().unwrap_or_default());
        fields.retain(|_, value| !value.is_null());
        Value::Object(fields)
    }
}

impl Settings {
    /// What was given.
    fn fields(self) -> Map<String, Value> {
        let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let switch = |switch: Option<Switch>| switch.map(Switch::is_on);
        let fields = json!({
            "description": self.description,
            "department": self.department,
            "hidden": switch(self.hidden),
            "external_members": switch(self.external_members),
            "deliver_to_sender": switch(self.deliver_to_sender),
            "list_id": switch(self.list_id),
            "max_size": self.max_size,
            "aliases": given(self.alias),
            "managers": given(self.manager),
            "exclusions": given(self.exclude),
        });
        let mut fields = fields.as_object().cloned().unwrap_or_default();
        fields.retain(|_, value| !value.is_null());
        fields
    }
}

const MODES: [&str; 7] = [
    "same-domain",
    "members",
    "anyone",
    "whitelist",
    "members-and-whitelist",
    "same-domain-and-whitelist",
    "organisation",
];

const MODERATED: [&str; 4] = ["off", "all", "external", "non-members"];
