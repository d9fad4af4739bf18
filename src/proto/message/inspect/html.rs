//! HTML to the text that a reader sees, as its tokenizer has it (HTML Living Standard §13.2.5), in one pass.
//!
//! Deviation: styles are not looked at, so that text which they hide or show elsewhere counts where it stands.

use mail_parser::decoders::html::add_html_token;

/// Text without tags, comments, scripts and style sheets, with character references decoded. Tags that start a block
/// separate words, others do not.
pub(super) fn text(html: &str) -> String {
    render(html, Blocks::Words)
}

/// The body as lines, each with whether it is quoted: inside a `blockquote`. Blocks and `br` end lines; how the HTML
/// itself is broken into lines makes none.
pub(super) fn lines(html: &str) -> Vec<(String, bool)> {
    let is_start = |at: &usize| html.get(at + 1..at + 5).is_some_and(|name| name.eq_ignore_ascii_case("body"));
    let body = memchr::memchr_iter(b'<', html.as_bytes()).find(is_start).and_then(|at| html.get(at..)).unwrap_or(html);
    let flat: String = body.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut depth = 0usize;
    let mut lines = Vec::new();
    for line in render(&flat, Blocks::Lines).split('\n') {
        match line {
            QUOTE => depth += 1,
            UNQUOTE => depth = depth.saturating_sub(1),
            line => lines.push((line.to_owned(), depth > 0)),
        }
    }
    lines
}

/// What a tag that starts or ends a block becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// Space between words.
    Words,
    /// The end of a line, and for quotations a line of their own.
    Lines,
}

impl Blocks {
    fn mark(self, name: &str, is_end: bool, out: &mut String) {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        match self {
            Self::Lines if is("blockquote") => {
                out.push('\n');
                out.push_str(if is_end { UNQUOTE } else { QUOTE });
                out.push('\n');
            }
            Self::Lines if !is("td") && !is("th") => out.push('\n'),
            Self::Lines | Self::Words => out.push(' '),
        }
    }
}

fn render(html: &str, blocks: Blocks) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some((before, tail)) =
        memchr::memchr2(b'<', b'&', rest.as_bytes()).and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(before);
        rest = if tail.starts_with('&') { reference(tail, &mut out) } else { markup(tail, blocks, &mut out) };
    }
    out.push_str(rest);
    out
}

/// What `cid:` addresses in the HTML refer to, percent-encoding decoded (RFC 2392).
pub(super) fn content_ids(html: &str, limit: usize) -> Vec<Vec<u8>> {
    let octets = html.as_bytes();
    let mut found = Vec::new();
    for at in memchr::memchr_iter(b':', octets) {
        let scheme = at.checked_sub(3).and_then(|start| octets.get(start..at));
        if found.len() >= limit || !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"cid")) {
            continue;
        }
        let rest = octets.get(at + 1..).unwrap_or_default();
        let ends = |b: &u8| b.is_ascii_whitespace() || b"\"'<>()&".contains(b);
        let id = rest.iter().take(MAX_ID).position(ends).and_then(|end| rest.get(..end)).unwrap_or_default();
        if !id.is_empty() {
            found.push(super::parameter::percent_decoded(id).into_owned());
        }
    }
    found
}

/// What stands behind the tag, comment or declaration at the start of `rest`; nothing behind one that never ends.
fn markup<'a>(rest: &'a str, blocks: Blocks, out: &mut String) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return after_comment(comment);
    }
    let inner = rest.strip_prefix('<').unwrap_or(rest);
    let (is_end, named) = match inner.strip_prefix('/') {
        Some(named) => (true, named),
        None => (false, inner),
    };
    if named.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return tag(named, is_end, blocks, out);
    }
    if is_end || inner.starts_with(['!', '?']) {
        return behind(inner, '>');
    }
    out.push('<');
    inner
}

/// A comment may end with `-->` or `--!>`, or right where it starts.
fn after_comment(comment: &str) -> &str {
    if let Some(rest) = comment.strip_prefix('>').or_else(|| comment.strip_prefix("->")) {
        return rest;
    }
    let is_end =
        |at: &usize| comment.get(..*at).is_some_and(|before| before.ends_with("--") || before.ends_with("--!"));
    let end = memchr::memchr_iter(b'>', comment.as_bytes()).find(is_end);
    end.and_then(|at| comment.get(at + 1..)).unwrap_or_default()
}

/// A tag from its name on.
fn tag<'a>(named: &'a str, is_end: bool, blocks: Blocks, out: &mut String) -> &'a str {
    let ends = |b: u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'>');
    let end = named.bytes().position(ends).unwrap_or(named.len());
    let (name, attributes) = named.split_at_checked(end).unwrap_or((named, ""));
    let rest = after_attributes(attributes);
    let lower = || name.bytes().map(|b| b.to_ascii_lowercase());
    if BLOCKS.binary_search_by(|known| known.bytes().cmp(lower())).is_ok() {
        blocks.mark(name, is_end, out);
    }
    if !is_end && RAW.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return after_raw(rest, name);
    }
    rest
}

/// Behind the `>` that is in no quoted attribute value.
fn after_attributes(attributes: &str) -> &str {
    let octets = attributes.as_bytes();
    let after = |from: usize| octets.get(from..).unwrap_or_default();
    let mut from = 0;
    while let Some(at) = memchr::memchr3(b'>', b'"', b'\'', after(from)).map(|at| from + at) {
        from = at + 1;
        let open = octets.get(at).copied().unwrap_or_default();
        if open == b'>' {
            return attributes.get(from..).unwrap_or_default();
        }
        // Elsewhere a quotation mark is an octet like any other.
        if octets.get(..at).is_some_and(|before| before.trim_ascii_end().ends_with(b"=")) {
            let Some(end) = memchr::memchr(open, after(from)) else { break };
            from += end + 1;
        }
    }
    ""
}

/// Behind the end tag of a script or style sheet, in which nothing else is markup.
fn after_raw<'a>(rest: &'a str, name: &str) -> &'a str {
    for at in memchr::memmem::find_iter(rest.as_bytes(), b"</") {
        let named = rest.get(at + 2..).unwrap_or_default();
        let Some((found, tail)) = named.split_at_checked(name.len()) else { continue };
        if found.eq_ignore_ascii_case(name)
            && tail.starts_with(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'))
        {
            return behind(tail, '>');
        }
    }
    ""
}

fn behind(text: &str, end: char) -> &str {
    text.split_once(end).map(|(_, rest)| rest).unwrap_or_default()
}

/// A character reference at the start of `rest`, with or without its semicolon; what stands behind it.
fn reference<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let named = rest.strip_prefix('&').unwrap_or(rest);
    let is_inside = |(at, b): (usize, &u8)| b.is_ascii_alphanumeric() || (at == 0 && *b == b'#');
    let length =
        named.as_bytes().iter().enumerate().take(MAX_REFERENCE).take_while(|(at, b)| is_inside((*at, b))).count();
    let (name, tail) = named.split_at_checked(length).unwrap_or((named, ""));
    let (name, tail) = match tail.strip_prefix(';') {
        Some(tail) => (name, tail),
        None => without_semicolon(name, named, tail),
    };
    let token = format!("&{name};");
    let mut text = String::new();
    add_html_token(&mut text, token.as_bytes(), false);
    if name.is_empty() || text == token {
        // No reference: it stands for itself.
        out.push('&');
        return named;
    }
    out.push_str(&text);
    tail
}

/// Numbers end at the first other character, and a few names are read without a semicolon.
fn without_semicolon<'a>(name: &'a str, named: &'a str, tail: &'a str) -> (&'a str, &'a str) {
    if let Some(number) = name.strip_prefix('#') {
        let is_hex = number.starts_with(['x', 'X']);
        let is_digit = |c: char| c.is_ascii_digit() || (is_hex && c.is_ascii_hexdigit());
        let skipped = if is_hex { 2 } else { 1 };
        let digits = name.get(skipped..).unwrap_or_default();
        let end = skipped + digits.find(|c| !is_digit(c)).unwrap_or(digits.len());
        return named.split_at_checked(end).unwrap_or((name, tail));
    }
    let legacy = LEGACY.iter().find(|known| name.starts_with(*known));
    legacy.and_then(|known| named.split_at_checked(known.len())).unwrap_or(("", tail))
}

/// Lines that [`lines`] reads: controls, of which the HTML that is rendered for it has none.
const QUOTE: &str = "\u{1}";
const UNQUOTE: &str = "\u{2}";

/// Elements whose content is no markup and not shown.
const RAW: &[&str] = &["script", "style"];

/// Elements that start or end a line or a cell, sorted.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "td",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
];

/// Those of the names without a semicolon with which words can be split or hidden.
const LEGACY: &[&str] = &["nbsp", "shy", "amp", "lt", "gt", "quot"];

/// No name is longer.
const MAX_REFERENCE: usize = 40;

/// No Content-ID is longer.
const MAX_ID: usize = 998;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_text() {
        for (html, want) in [
            ("plain", "plain"),
            ("f<b>oo</b>", "foo"),
            ("f<span style=\"a>b\" class='x>y'>oo", "foo"),
            ("f<a b = \n\"c>=\"\"d>o<a b'c>o", "foo"),
            ("f<a b=\"'>\" c='\">'>oo<a b=\"c>", "foo"),
            ("a<br>b<BR/>c</p>d", "a b c d"),
            ("<td>a</td><td>b</td>", " a  b "),
            ("a<!-- x > -->b<!--><i>c<!--->d<!-- x --!>e<!-- - -- --->f", "abcdef"),
            ("a<!-- open", "a"),
            ("<style>a{}</style>b<SCRIPT>if (a</b>c) '</scriptx>'</Script >d", "bd"),
            ("a<script>open", "a"),
            ("a < b <3 c", "a < b <3 c"),
            ("a<!DOCTYPE x>b<?php y ?>c</ z>d", "abcd"),
            ("a<b title=\"open>c", "a"),
            ("&lt;b&gt; &amp;amp; &eacute;&#233;&#xE9; &#x4e2d;", "<b> &amp; ééé 中"),
            ("f&shy;o&shyo &nbspx &#111o &#x6fz &#", "f\u{ad}o\u{ad}o \u{a0}x oo oz &#"),
            ("a && b &unknown; &x", "a && b &unknown; &x"),
            ("&#0;&#1114112;", "\0\u{fffd}"),
            ("é<é", "é<é"),
        ] {
            assert_eq!(text(html), want, "{html}");
        }
    }

    #[test]
    fn html_becomes_lines() {
        let html = "<html><head><title>Re: x</title></head>\r\n<BODY>ac\r\ncept<br>two<div>On Monday:</div>\
                    <blockquote type=cite>no<p>x<blockquote>y</blockquote>z</blockquote>three</body>";
        let lines: Vec<(String, bool)> = lines(html);
        let shown: Vec<(&str, bool)> = lines
            .iter()
            .map(|(line, is_quoted)| (line.trim(), *is_quoted))
            .filter(|(line, _)| !line.is_empty())
            .collect();
        let want = [
            ("ac  cept", false),
            ("two", false),
            ("On Monday:", false),
            ("no", true),
            ("x", true),
            ("y", true),
            ("z", true),
            ("three", false),
        ];
        assert_eq!(shown, want);
        assert_eq!(super::lines("plain")[0], ("plain".to_owned(), false));
        assert!(super::lines("</blockquote>a<blockquote>b").contains(&("a".to_owned(), false)));
    }

    #[test]
    fn references_to_parts_are_found() {
        let html = "<img src=\"cid:a%40b\"> <img src=CID:c@d> url(cid:e) cid: xcid:f";
        let found = content_ids(html, 10);
        let want: Vec<&[u8]> = vec![b"a@b", b"c@d", b"e"];
        assert_eq!(found, want);
        assert_eq!(content_ids(html, 1).len(), 1);
    }

    #[test]
    fn hostile_html_takes_linear_time() {
        for piece in ["<", "<a ", "<!--", "&", "<a b=\"", "<script>", "</", "--", "&#1", "<a b='\">"] {
            let html = piece.repeat(200_000);
            assert!(text(&html).len() <= html.len(), "{piece}");
        }
    }
}
