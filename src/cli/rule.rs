//! `posthouse rule`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, Failure, path, with_query};
use super::command::Format;
use super::{group, input, output};

/// Mail rules.
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Add a rule, from options or from a file.
    Add(Box<NewRule>),
    /// Replace a rule by what a file says.
    Replace {
        /// Its name.
        name: String,
        /// JSON or TOML; `-` for standard input.
        #[arg(long)]
        file: PathBuf,
        /// Whose, if there are several organisations.
        #[arg(long)]
        organisation: Option<String>,
    },
    /// List the rules: priority, name, whether it applies.
    List {
        /// Only those of this organisation.
        #[arg(long)]
        organisation: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Show one rule.
    Show {
        #[command(flatten)]
        rule: Named,
        #[command(flatten)]
        format: Format,
    },
    /// Let a rule apply.
    Enable(Named),
    /// Let a rule apply no more.
    Disable(Named),
    /// Remove a rule.
    Remove(Named),
}

/// One rule.
#[derive(Args, Debug)]
pub struct Named {
    /// Its name.
    name: String,
    /// Whose, if there are several organisations.
    #[arg(long)]
    organisation: Option<String>,
}

/// A new rule.
#[derive(Args, Debug)]
pub struct NewRule {
    /// Unique within the organisation.
    name: String,
    /// Read everything but the name from JSON or TOML; `-` for standard input.
    #[arg(long, conflicts_with_all = ["scope", "direction", "peer", "copy", "forward", "redirect", "reject", "hold"])]
    file: Option<PathBuf>,
    /// Whose, if there are several organisations.
    #[arg(long)]
    organisation: Option<String>,
    /// 0 comes first.
    #[arg(long, default_value_t = 0)]
    priority: u32,
    /// Do not let it apply yet.
    #[arg(long)]
    disabled: bool,
    /// For people.
    #[arg(long)]
    remark: Option<String>,
    #[command(flatten)]
    events: Events,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    actions: Actions,
}

/// Which messages of whom.
#[derive(Args, Debug)]
pub struct Events {
    /// Whose: everyone, ADDRESS, group:ADDRESS, department:/PATH or department-only:/PATH; everyone without it.
    #[arg(long, value_name = "WHO")]
    scope: Vec<String>,
    /// Whose not.
    #[arg(long, value_name = "WHO")]
    except: Vec<String>,
    /// What they send, receive, or both.
    #[arg(long, value_parser = ["sent", "received", "both"])]
    direction: Option<String>,
    /// With whom.
    #[arg(long, value_parser = ["internal", "external", "any"])]
    peer: Option<String>,
}

/// What must hold; all of it.
#[derive(Args, Debug)]
pub struct Conditions {
    /// The sender is one of these: ADDRESS, *@DOMAIN, *@*.DOMAIN or *.TLD.
    #[arg(long, value_name = "PATTERN")]
    sender: Vec<String>,
    /// A recipient is one of these.
    #[arg(long, value_name = "PATTERN")]
    recipient: Vec<String>,
    /// Subject, body or the name of an attachment has one of these.
    #[arg(long, value_name = "TEXT")]
    keyword: Vec<String>,
    /// Larger than this, such as 1MiB.
    #[arg(long, value_name = "SIZE")]
    min_size: Option<String>,
    /// Smaller than this.
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// It has an attachment.
    #[arg(long)]
    has_attachment: bool,
    /// An attachment is called like one of these: `*` and `?` stand for others.
    #[arg(long, value_name = "PATTERN")]
    attachment_name: Vec<String>,
}

/// What happens.
#[derive(Args, Debug)]
pub struct Actions {
    /// A copy for a monitor.
    #[arg(long, value_name = "ACCOUNT[:FOLDER]")]
    copy: Vec<String>,
    /// A copy to an address.
    #[arg(long, value_name = "ADDRESS")]
    forward: Vec<String>,
    /// To an address instead of the recipients.
    #[arg(long, value_name = "ADDRESS")]
    redirect: Vec<String>,
    /// A header field in front: `X-Class: a`.
    #[arg(long, value_name = "FIELD")]
    tag: Vec<String>,
    /// A text in front of the subject: `[EXT]`.
    #[arg(long, value_name = "TEXT")]
    subject_prefix: Vec<String>,
    /// Held until one of these accounts approves.
    #[arg(long, value_name = "ACCOUNT")]
    hold: Vec<String>,
    /// To Junk.
    #[arg(long)]
    junk: bool,
    /// Kept from the recipients until an administrator releases it.
    #[arg(long)]
    quarantine: bool,
    /// Refused; the sender reads this, or the server's text if it is empty.
    #[arg(long, value_name = "TEXT")]
    reject: Option<String>,
    /// Accepted and not stored.
    #[arg(long)]
    discard: bool,
    /// Later rules are not looked at.
    #[arg(long)]
    stop: bool,
}

/// Carries out one command.
pub fn run(client: &Client, command: RuleCommand) -> Result<(), Failure> {
    match command {
        RuleCommand::Add(rule) => client.add("/rules", &rule.body()?).map(drop),
        RuleCommand::Replace { name, file, organisation } => {
            let mut body = input::object(&file)?;
            body.entry("name").or_insert_with(|| Value::String(name.clone()));
            client.put(&at(&name, None, organisation.as_deref()), &Value::Object(body))
        }
        RuleCommand::List { organisation, format } => {
            let mut rules: Vec<Value> = client.list("/rules", &[("organisation", organisation.as_deref())])?;
            rules.sort_by_key(|rule| rule.get("priority").and_then(Value::as_u64));
            if format.json {
                return output::json(&rules);
            }
            for rule in &rules {
                let is_on = rule.get("enabled") != Some(&Value::Bool(false));
                let state = if is_on { "enabled" } else { "disabled" };
                let text = |field| rule.get(field).map(output::plain).unwrap_or_default();
                output::line(format_args!("{}\t{}\t{state}", text("priority"), text("name")));
            }
            Ok(())
        }
        RuleCommand::Show { rule, format } => group::show(client, &rule.at(None), format),
        RuleCommand::Enable(rule) => client.put(&rule.at(Some("enabled")), &json!({ "enabled": true })),
        RuleCommand::Disable(rule) => client.put(&rule.at(Some("enabled")), &json!({ "enabled": false })),
        RuleCommand::Remove(rule) => client.remove(&rule.at(None)),
    }
}

impl Named {
    fn at(&self, part: Option<&str>) -> String {
        at(&self.name, part, self.organisation.as_deref())
    }
}

fn at(name: &str, part: Option<&str>, organisation: Option<&str>) -> String {
    let segments: Vec<&str> = ["rules", name].into_iter().chain(part).collect();
    with_query(&path(&segments), &[("organisation", organisation)])
}

impl NewRule {
    fn body(self) -> Result<Value, Failure> {
        let mut body = match &self.file {
            Some(file) => input::object(file)?,
            None => {
                let mut body = self.events.fields();
                body.insert("priority".to_owned(), self.priority.into());
                body.insert("conditions".to_owned(), self.conditions.list().into());
                body.insert("stop".to_owned(), self.actions.stop.into());
                body.insert("actions".to_owned(), self.actions.list()?.into());
                if let Some(remark) = self.remark {
                    body.insert("remark".to_owned(), remark.into());
                }
                body
            }
        };
        body.insert("name".to_owned(), self.name.into());
        if self.disabled {
            body.insert("enabled".to_owned(), false.into());
        }
        if let Some(organisation) = self.organisation {
            body.insert("organisation".to_owned(), organisation.into());
        }
        Ok(Value::Object(body))
    }
}

impl Events {
    fn fields(self) -> Map<String, Value> {
        let scope = match &self.scope[..] {
            [] => json!("everyone"),
            [only] if only == "everyone" => json!("everyone"),
            list => json!(list),
        };
        let mut fields = Map::from_iter([("scope".to_owned(), scope), ("scope_except".to_owned(), self.except.into())]);
        fields.extend(self.direction.map(|direction| ("direction".to_owned(), direction.into())));
        fields.extend(self.peer.map(|peer| ("peer".to_owned(), peer.into())));
        fields
    }
}

impl Conditions {
    fn list(self) -> Vec<Value> {
        let mut list = Vec::new();
        let lists = [("sender", self.sender), ("recipient", self.recipient), ("attachment-name", self.attachment_name)];
        list.extend(lists.into_iter().filter(|(_, l)| !l.is_empty()).map(|(name, values)| json!({ name: values })));
        if !self.keyword.is_empty() {
            list.push(json!({ "keyword": { "values": self.keyword } }));
        }
        if self.min_size.is_some() || self.max_size.is_some() {
            let bounds = [("min", self.min_size), ("max", self.max_size)];
            let given = bounds.into_iter().filter_map(|(name, size)| Some((name.to_owned(), size?.into())));
            list.push(json!({ "size": Map::from_iter(given) }));
        }
        if self.has_attachment {
            list.push(json!("has-attachment"));
        }
        list
    }
}

impl Actions {
    fn list(self) -> Result<Vec<Value>, Failure> {
        let mut list = Vec::new();
        for copy in self.copy {
            list.push(match copy.split_once(':') {
                Some((monitor, folder)) => json!({ "copy": { "monitor": monitor, "folder": folder } }),
                None => json!({ "copy": { "monitor": copy } }),
            });
        }
        let lists = [("forward", self.forward), ("redirect", self.redirect)];
        list.extend(lists.into_iter().filter(|(_, l)| !l.is_empty()).map(|(name, to)| json!({ name: to })));
        for tag in self.tag {
            let (header, value) = tag
                .split_once(':')
                .ok_or_else(|| Failure::Usage(format!("--tag {tag:?}: a header field such as \"X-Class: a\"")))?;
            list.push(json!({ "tag": { "header": header.trim(), "value": value.trim() } }));
        }
        list.extend(self.subject_prefix.into_iter().map(|text| json!({ "subject-prefix": text })));
        if !self.hold.is_empty() {
            list.push(json!({ "hold": { "approvers": self.hold } }));
        }
        let words = [(self.junk, "junk"), (self.quarantine, "quarantine"), (self.discard, "discard")];
        list.extend(words.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, word)| json!(word)));
        list.extend(self.reject.map(|text| match text.as_str() {
            "" => json!({ "reject": {} }),
            text => json!({ "reject": { "text": text } }),
        }));
        Ok(list)
    }
}
