//! `posthouse apply`: the directory becomes as a file says.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Failure, with_query};
use super::command::Format;
use super::{input, output};
use crate::server::admin::ops::Applied;
use crate::server::admin::spec::Difference;

/// The file, and whether it is meant.
#[derive(Args, Debug)]
pub struct Apply {
    /// TOML; `-` for standard input.
    file: PathBuf,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// List trusted relays even if the DNS does not tell whether they are an MX of a domain here.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    format: Format,
}

/// Sends the file and shows what it changes: `+` is new, `-` goes, `~` changes, with each field's value before and
/// after.
pub fn run(client: &Client, apply: &Apply) -> Result<(), Failure> {
    let text = input::whole(&apply.file)?;
    let given = |flag: bool| flag.then_some("true");
    let at = with_query("/apply", &[("dry_run", given(apply.dry_run)), ("force", given(apply.force))]);
    let answer = client.send(&at, text)?;
    if apply.format.json {
        return output::json(&answer);
    }
    let applied: Applied = serde_json::from_value(answer)
        .map_err(|e| Failure::Failed(format!("answer of another version of the server: {e}")))?;
    applied.differences.iter().flat_map(lines).for_each(output::line);
    let count = applied.differences.len();
    output::line(match (count, apply.dry_run) {
        (0, _) => "nothing to change".to_owned(),
        (_, true) => format!("{count} objects would change"),
        (_, false) => format!("{count} objects changed"),
    });
    Ok(())
}

fn lines(difference: &Difference) -> Vec<String> {
    let Difference { kind, name, before, after, .. } = difference;
    match (before, after) {
        (Value::Null, _) => vec![format!("+ {kind} {name}")],
        (_, Value::Null) => vec![format!("- {kind} {name}")],
        (Value::Object(old), Value::Object(new)) => {
            let mut lines = vec![format!("~ {kind} {name}")];
            let fields: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let shown = |value: Option<&Value>| value.map_or_else(|| "(none)".to_owned(), Value::to_string);
            let changed = fields.into_iter().filter(|field| old.get(*field) != new.get(*field));
            lines.extend(changed.map(|f| format!("    {f}: {} → {}", shown(old.get(f)), shown(new.get(f)))));
            lines
        }
        _ => vec![format!("~ {kind} {name}: {}", output::plain(after))],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_for_people() {
        for (before, after, want) in [
            (Value::Null, json!({ "address": "a@b.test" }), vec!["+ group a@b.test"]),
            (json!({ "address": "a@b.test" }), Value::Null, vec!["- group a@b.test"]),
            (Value::Null, json!("changed"), vec!["+ group a@b.test"]),
            (
                json!({ "address": "a@b.test", "hidden": true, "permission": "members" }),
                json!({ "address": "a@b.test", "permission": "anyone" }),
                vec!["~ group a@b.test", "    hidden: true → (none)", "    permission: \"members\" → \"anyone\""],
            ),
        ] {
            let (kind, name) = ("group".to_owned(), "a@b.test".to_owned());
            assert_eq!(lines(&Difference { kind, id: 1, name, before, after }), want);
        }
    }
}
