//! A file of objects in TOML: an array of tables for each kind (`[[account]]`, `[[group]]` …), in any order.
//!
//! Whatever is wrong is found at once and named with its line: the parser goes on after an error, each object is read
//! on its own, and an object is read again without the key that was wrong.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::problem::INVALID;
use super::{
    AccountSpec, AliasSpec, DepartmentSpec, DomainSpec, GroupSpec, OrganisationSpec, Problem, RelaySpec, RuleSpec,
};

/// The objects of a file, each with its number among those of its kind.
#[derive(Debug)]
pub struct File<'t> {
    pub(super) organisations: Vec<(usize, OrganisationSpec)>,
    /// Names of organisations whose other objects are to go.
    pub(super) prune: Vec<String>,
    pub(super) domains: Vec<(usize, DomainSpec)>,
    pub(super) departments: Vec<(usize, DepartmentSpec)>,
    pub(super) accounts: Vec<(usize, AccountSpec)>,
    pub(super) aliases: Vec<(usize, AliasSpec)>,
    pub(super) groups: Vec<(usize, GroupSpec)>,
    pub(super) rules: Vec<(usize, RuleSpec)>,
    pub(super) relays: Vec<(usize, RelaySpec)>,
    source: Source<'t>,
}

impl<'t> File<'t> {
    /// Reads a file. What could be read is there even if there are problems, so that those of the objects can be found
    /// as well.
    pub fn parse(text: &'t str) -> (Self, Vec<Problem>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut source = Source { text, lines: line_starts(text), root: root.into_inner() };
        let mut problems: Vec<Problem> = errors.iter().map(|e| source.problem("", "", e)).collect();
        for key in source.root.keys().filter(|key| !KINDS.contains(&key.get_ref().as_ref())) {
            let problem = Problem::invalid("", key.get_ref().as_ref(), format!("one of {}", KINDS.join(", ")));
            problems.push(Problem { line: Some(source.line(key.span().start)), ..problem });
        }
        let prune = source.take_prune(&mut problems);
        let file = Self {
            organisations: source.items("organisation", &mut problems),
            prune,
            domains: source.items("domain", &mut problems),
            departments: source.items("department", &mut problems),
            accounts: source.items("account", &mut problems),
            aliases: source.items("alias", &mut problems),
            groups: source.items("group", &mut problems),
            rules: source.items("rule", &mut problems),
            relays: source.items("relay", &mut problems),
            source,
        };
        (file, problems)
    }

    /// The problems of the `n`th object of a kind, with their lines.
    pub(super) fn place(&self, kind: &str, n: usize, name: &str, problems: Vec<Problem>) -> Vec<Problem> {
        let object = format!("{kind} {name}");
        let place = |p: Problem| Problem { line: self.source.line_of(kind, n, &p.field), object: object.clone(), ..p };
        problems.into_iter().map(place).collect()
    }
}

/// The text and its tree, which knows where each value stands.
struct Source<'t> {
    text: &'t str,
    /// Where each line starts.
    lines: Vec<usize>,
    root: DeTable<'t>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

impl Source<'_> {
    /// Takes `prune = true` out of the organisations: it is a word to `apply`, not part of the object.
    fn take_prune(&mut self, problems: &mut Vec<Problem>) -> Vec<String> {
        let mut prune = Vec::new();
        let mut wrong = Vec::new();
        let Some(DeValue::Array(organisations)) = self.root.get_mut("organisation").map(|v| v.get_mut()) else {
            return prune;
        };
        for organisation in organisations.iter_mut() {
            let DeValue::Table(table) = organisation.get_mut() else { continue };
            let Some(value) = table.remove("prune") else { continue };
            match (value.get_ref().as_bool(), table.get("name").and_then(|n| n.get_ref().as_str())) {
                (Some(true), Some(name)) => prune.push(name.to_owned()),
                (Some(_), _) => {}
                (None, _) => wrong.push(value.span().start),
            }
        }
        for at in wrong {
            let problem = Problem::invalid("prune", "", "true or false");
            problems.push(Problem { line: Some(self.line(at)), object: "organisation".to_owned(), ..problem });
        }
        prune
    }

    /// The objects of a kind that can be read.
    fn items<T: DeserializeOwned>(&self, kind: &str, problems: &mut Vec<Problem>) -> Vec<(usize, T)> {
        let Some(value) = self.root.get(kind) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let problem = Problem::invalid(kind, "", format!("a list of tables: [[{kind}]]"));
            problems.push(Problem { line: Some(self.line(value.span().start)), ..problem });
            return Vec::new();
        };
        let read = |(n, item): (usize, &toml::Spanned<DeValue<'_>>)| Some((n, self.item(kind, item, problems)?));
        items.iter().enumerate().filter_map(read).collect()
    }

    fn item<T: DeserializeOwned>(
        &self,
        kind: &str,
        item: &toml::Spanned<DeValue<'_>>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let mut rest = item.clone();
        let mut is_whole = true;
        let name = self.name_of(item);
        loop {
            let error = match T::deserialize(ValueDeserializer::from(rest.clone())) {
                Ok(object) => return is_whole.then_some(object),
                Err(error) => error,
            };
            let wrong = error.span().and_then(|span| key_at(&rest, span.start));
            // What was taken out is missed: nothing new.
            if is_whole || !error.message().starts_with("missing field") {
                let problem = self.problem(kind, wrong.as_deref().unwrap_or_default(), &error);
                let line = problem.line.or_else(|| Some(self.line(item.span().start)));
                problems.push(Problem { line, object: format!("{kind} {name}").trim_end().to_owned(), ..problem });
            }
            is_whole = false;
            let (Some(key), DeValue::Table(table)) = (wrong, rest.get_mut()) else { return None };
            table.remove(key.as_str())?;
        }
    }

    fn name_of(&self, item: &toml::Spanned<DeValue<'_>>) -> String {
        let names = ["address", "name", "path", "network"];
        let name = names.iter().find_map(|key| item.get_ref().as_table()?.get(*key)?.get_ref().as_str());
        name.unwrap_or_default().to_owned()
    }

    /// Shows what stands at the error, unless that could be a password.
    fn problem(&self, kind: &str, field: &str, error: &toml::de::Error) -> Problem {
        let written = error.span().and_then(|span| self.text.get(span)).unwrap_or_default();
        let is_secret = kind == "account" && field == "password" || kind.is_empty();
        let value = match written.char_indices().nth(60) {
            _ if is_secret => String::new(),
            Some((end, _)) => format!("{}…", written.get(..end).unwrap_or_default()),
            None => written.to_owned(),
        };
        let allowed = match field {
            // The message of the error would show it.
            "password" => "text".to_owned(),
            _ => error.message().lines().collect::<Vec<_>>().join(", "),
        };
        Problem {
            line: error.span().map(|span| self.line(span.start)),
            object: String::new(),
            field: field.to_owned(),
            value,
            allowed,
            key: INVALID.to_owned(),
        }
    }

    /// The line of a value by its path in the object; of the nearest thing around it if it is not written.
    fn line_of(&self, kind: &str, n: usize, field: &str) -> Option<usize> {
        let mut at = self.root.get(kind)?.get_ref().as_array()?.get(n)?;
        for part in field.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            let inner = match at.get_ref() {
                DeValue::Array(items) => part.parse::<usize>().ok().and_then(|n| items.get(n)),
                DeValue::Table(table) => table.get(part),
                _ => None,
            };
            match inner {
                Some(inner) => at = inner,
                None => break,
            }
        }
        Some(self.line(at.span().start))
    }

    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }
}

/// The key of a table at which an error at `offset` lies: in the key itself or in its value.
fn key_at(item: &toml::Spanned<DeValue<'_>>, offset: usize) -> Option<String> {
    let table = item.get_ref().as_table()?;
    let holds = |span: std::ops::Range<usize>| span.contains(&offset) || span.start == offset;
    table.iter().find(|(key, value)| holds(key.span()) || holds(value.span())).map(|(key, _)| key.get_ref().to_string())
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(n, _)| n + 1)).collect()
}

const KINDS: [&str; 8] = ["organisation", "domain", "department", "account", "alias", "group", "rule", "relay"];
