//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2) of a scanned message.

use std::io::Write as _;

use super::mime::Kind;
use super::scanner::Node;

/// Both forms of the structure whose top is the first node.
pub(super) fn write(nodes: &[Node]) -> (Vec<u8>, Vec<u8>) {
    let (mut body, mut body_structure) = (Vec::with_capacity(128), Vec::with_capacity(256));
    part(nodes, 0, Form::Body, &mut body);
    part(nodes, 0, Form::BodyStructure, &mut body_structure);
    (body, body_structure)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Body,
    /// With extension data, all of it: clients look for the disposition.
    BodyStructure,
}

/// The depth of the recursion is bounded by the scanner.
fn part(nodes: &[Node], index: usize, form: Form, out: &mut Vec<u8>) {
    let Some(node) = nodes.get(index) else { return };
    out.push(b'(');
    if let Kind::Multipart { .. } = node.mime.kind {
        for child in &node.children {
            part(nodes, *child, form, out);
        }
        out.push(b' ');
        out.extend_from_slice(&node.mime.basic);
    } else {
        out.extend_from_slice(&node.mime.basic);
        number(node.body.1.saturating_sub(node.body.0), out);
        if let (Kind::Message, Some(child)) = (&node.mime.kind, node.children.first()) {
            out.push(b' ');
            out.extend_from_slice(nodes.get(*child).map(|child| child.envelope.as_slice()).unwrap_or_default());
            out.push(b' ');
            part(nodes, *child, form, out);
        }
        if matches!(node.mime.kind, Kind::Message | Kind::Text) {
            number(node.lines, out);
        }
    }
    if form == Form::BodyStructure {
        out.push(b' ');
        out.extend_from_slice(&node.mime.extension);
    }
    out.push(b')');
}

/// RFC 3501 §9: `number` is below 2^32; a larger part is shown as that.
fn number(value: u64, out: &mut Vec<u8>) {
    let value = value.min(u64::from(u32::MAX));
    // Writing to a vector cannot fail.
    let _ = write!(out, " {value}");
}
