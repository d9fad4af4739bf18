//! A report on TLS by mail (RFC 8460 §5.3).

use super::{Header, Stamp, multipart, text, text_part};
use crate::mail::{Address, Domain};

/// What makes the message.
#[derive(Clone, Copy, Debug)]
pub struct TlsReport<'a> {
    /// By whom and when.
    pub stamp: Stamp<'a>,
    /// Who asked for it.
    pub to: &'a Address,
    /// The domain that it is about.
    pub domain: &'a Domain,
    /// The report's id.
    pub id: &'a str,
    /// The name of its file, with its ending.
    pub file_name: &'a str,
    /// The report, in JSON that gzip has packed.
    pub report: &'a [u8],
}

/// The message, for the null reverse-path.
pub fn tls_report(report: &TlsReport<'_>) -> Vec<u8> {
    let TlsReport { stamp, domain, id, .. } = report;
    let subject = format!("Report Domain: {domain} Submitter: {} Report-ID: <{id}>", stamp.host);
    let mut header = stamp.system_header(report.to, &subject);
    header.raw("TLS-Report-Domain", domain.as_str());
    header.raw("TLS-Report-Submitter", stamp.host.as_str());
    // RFC 8460 §3: a report on TLS that fails must not fail for that; RFC 8689 §5 is how one says so.
    header.raw("TLS-Required", "No");
    let explanation = format!(
        "This is the mail server {}.\n\n\
         Attached is a report, for programs, on how its connections to the mail\n\
         servers of {domain} were secured (RFC 8460). {domain} asks for it\n\
         in the DNS, with the TXT record of _smtp._tls.{domain}.\n",
        stamp.host
    );
    let parts = [text_part(&explanation), attachment(report)];
    multipart(header, stamp, "report; report-type=\"tlsrpt\"", &parts)
}

fn attachment(report: &TlsReport<'_>) -> Vec<u8> {
    let mut header = Header::default();
    header.raw("Content-Type", "application/tlsrpt+gzip");
    header.raw("Content-Disposition", &format!("attachment;\r\n filename=\"{}\"", report.file_name));
    let body = text::binary(report.report, &mut header);
    [header.finish(), body].concat()
}
