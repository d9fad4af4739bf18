//! Families of numbers, told apart by the values of their labels.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Histogram;

/// What is counted: one number for each combination of labels.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    head: Head<N>,
    values: Mutex<BTreeMap<[String; N], f64>>,
    kind: &'static str,
}

/// How long something takes: how often within each of some times, for each combination of labels.
#[derive(Debug)]
pub struct Timers<const N: usize> {
    head: Head<N>,
    bounds: &'static [f64],
    values: Mutex<BTreeMap<[String; N], Arc<Histogram>>>,
}

#[derive(Debug)]
struct Head<const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
}

impl<const N: usize> Counters<N> {
    /// One that only grows; its name ends with `_total`.
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { head: Head { name, help, labels }, values: Mutex::default(), kind: "counter" }
    }

    /// One that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self { kind: "gauge", ..Self::new(name, help, labels) }
    }

    /// Adds to one of them.
    pub fn add(&self, labels: [&str; N], amount: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = bounded(&values, labels);
        *values.entry(labels).or_default() += amount;
    }

    /// Adds one to one of them.
    pub fn count(&self, labels: [&str; N]) {
        self.add(labels, 1.0);
    }

    /// Sets one of them.
    pub fn set(&self, labels: [&str; N], value: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = bounded(&values, labels);
        values.insert(labels, value);
    }

    /// Writes them as Prometheus reads them.
    pub fn write(&self, out: &mut String) {
        self.head.write(out, self.kind);
        for (labels, value) in self.values.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.head.line(out, "", labels, None, *value);
        }
    }
}

impl<const N: usize> Timers<N> {
    /// In seconds, within these bounds, which ascend; its name ends with `_seconds`.
    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N], bounds: &'static [f64]) -> Self {
        Self { head: Head { name, help, labels }, bounds, values: Mutex::default() }
    }

    /// Something took so long.
    pub fn took(&self, labels: [&str; N], time: Duration) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = bounded(&values, labels);
        values.entry(labels).or_insert_with(|| Histogram::new(self.bounds).into()).took(time);
    }

    /// Shows what was timed elsewhere, in place of one of them.
    pub fn show(&self, labels: [&str; N], times: Arc<Histogram>) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = bounded(&values, labels);
        values.insert(labels, times);
    }

    /// Writes them as Prometheus reads them.
    pub fn write(&self, out: &mut String) {
        self.head.write(out, "histogram");
        for (labels, times) in self.values.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let mut count = 0;
            for (bound, upto) in times.cumulated() {
                let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
                self.head.line(out, "_bucket", labels, Some(&bound), upto as f64);
                count = upto;
            }
            self.head.line(out, "_sum", labels, None, times.sum().as_secs_f64());
            // What the last bucket says, whatever was timed since: the two must agree.
            self.head.line(out, "_count", labels, None, count as f64);
        }
    }
}

impl<const N: usize> Head<N> {
    fn write(&self, out: &mut String, kind: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", self.name, self.help, self.name);
    }

    fn line(&self, out: &mut String, suffix: &str, values: &[String; N], bound: Option<&str>, number: f64) {
        out.push_str(self.name);
        out.push_str(suffix);
        let labels = self.labels.iter().copied().zip(values.iter().map(String::as_str));
        let labels: Vec<String> =
            labels.chain(bound.map(|bound| ("le", bound))).map(|(name, value)| label(name, value)).collect();
        if !labels.is_empty() {
            let _ = write!(out, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(out, " {number}");
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// The labels, or what stands for all that are too many.
fn bounded<T, const N: usize>(values: &BTreeMap<[String; N], T>, labels: [&str; N]) -> [String; N] {
    let labels = labels.map(str::to_owned);
    let is_known = values.len() < MAX_SERIES || values.contains_key(&labels);
    if is_known { labels } else { labels.map(|_| "other".to_owned()) }
}

/// Combinations of labels of one family.
const MAX_SERIES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn counters_are_written_with_their_labels() {
        let counters = Counters::new("posthouse_x_total", "What.", ["a", "b"]);
        counters.count(["1", "q\"\\\n"]);
        counters.count(["1", "q\"\\\n"]);
        counters.add(["0", ""], 2.5);
        let head = "# HELP posthouse_x_total What.\n# TYPE posthouse_x_total counter\n";
        let lines = "posthouse_x_total{a=\"0\",b=\"\"} 2.5\nposthouse_x_total{a=\"1\",b=\"q\\\"\\\\\\n\"} 2\n";
        assert_eq!(written(|out| counters.write(out)), format!("{head}{lines}"));
        let gauge = Counters::gauge("posthouse_y", "Now.", []);
        gauge.set([], 3.0);
        gauge.add([], -1.0);
        assert!(written(|out| gauge.write(out)).ends_with("# TYPE posthouse_y gauge\nposthouse_y 2\n"));
    }

    #[test]
    fn times_add_up() {
        let timers = Timers::new("posthouse_t_seconds", "How long.", ["x"], &[0.01, 0.1]);
        for millis in [5, 10, 50, 500] {
            timers.took(["a"], Duration::from_millis(millis));
        }
        let text = written(|out| timers.write(out));
        for line in [
            "posthouse_t_seconds_bucket{x=\"a\",le=\"0.01\"} 2",
            "posthouse_t_seconds_bucket{x=\"a\",le=\"0.1\"} 3",
            "posthouse_t_seconds_bucket{x=\"a\",le=\"+Inf\"} 4",
            "posthouse_t_seconds_sum{x=\"a\"} 0.565",
            "posthouse_t_seconds_count{x=\"a\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }

    #[test]
    fn times_of_elsewhere_are_shown() {
        let timers = Timers::new("posthouse_t_seconds", "How long.", ["x"], &[0.01]);
        let times = Arc::new(Histogram::new(&[1.0, 2.0]));
        timers.show(["a"], times.clone());
        times.took(Duration::from_secs(2));
        let buckets = [("1", 0), ("2", 1), ("+Inf", 1)]
            .map(|(bound, count)| format!("posthouse_t_seconds_bucket{{x=\"a\",le=\"{bound}\"}} {count}\n"));
        let rest = "posthouse_t_seconds_sum{x=\"a\"} 2\nposthouse_t_seconds_count{x=\"a\"} 1\n";
        let text = written(|out| timers.write(out));
        assert!(text.ends_with(&(buckets.concat() + rest)), "{text}");
    }

    #[test]
    fn labels_do_not_grow_for_ever() {
        let counters = Counters::new("posthouse_x_total", "What.", ["a"]);
        (0..2_000).for_each(|n| counters.count([&n.to_string()]));
        let text = written(|out| counters.write(out));
        assert_eq!(text.lines().count(), 2 + MAX_SERIES + 1);
        assert!(text.contains("{a=\"other\"} 1000\n"), "{text}");
    }
}
