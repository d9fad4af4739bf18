//! Postfix (Debian) as another host: an instance with all its files in a folder of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::eventually;
use crate::smtp::Smtp;

/// The host mx.p.test, which takes mail for pam@p.test; it ends when it is dropped.
pub struct Postfix {
    dir: TempDir,
    address: SocketAddr,
    child: Option<Child>,
}

/// What it is called, where it sends, and what it is.
pub struct Setup<'a> {
    pub address: SocketAddr,
    /// The hosts of other domains; it does not ask the DNS, since it could only ask that of the system.
    pub routes: &'a [(&'a str, Ipv4Addr)],
    /// Addresses of p.test that stand for others.
    pub aliases: &'a [(&'a str, &'a str)],
    /// Its certificate with the chain, and its key.
    pub identity: (String, String),
}

impl Postfix {
    pub fn start(setup: &Setup<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("posthouse-it-postfix-").tempdir().expect("a temporary folder");
        let postfix = Self { dir, address: setup.address, child: None };
        postfix.configure(setup);
        let mut postfix = postfix;
        postfix.run();
        postfix
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, setup: &Setup<'_>) {
        // Its services give up root and still come to their folders.
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        for (folder, owner) in [("etc", "root"), ("queue", "root"), ("data", "postfix"), ("mail", "nobody")] {
            fs::create_dir(self.at(folder)).expect("a folder");
            let done = Command::new("chown").arg(owner).arg(self.at(folder)).status().expect("chown");
            assert!(done.success(), "a folder for {owner}: are postfix, of tests/packages.txt, and root here?");
        }
        fs::write(self.at("etc/chain.pem"), &setup.identity.0).expect("written");
        fs::write(self.at("etc/key.pem"), &setup.identity.1).expect("written");
        let inline = |pairs: Vec<String>| format!("inline:{{ {} }}", pairs.join(", "));
        let port = self.address.port();
        let routes = setup.routes.iter().map(|(domain, ip)| format!("{{ {domain} = smtp:[{ip}]:{port} }}"));
        let aliases = setup.aliases.iter().map(|(from, to)| format!("{{ {from} = {to} }}"));
        let main = MAIN
            .replace("DIR", &self.dir.path().display().to_string())
            .replace("ROUTES", &inline(routes.chain(["{ local.invalid = error: }".to_owned()]).collect()))
            .replace("ALIASES", &inline(aliases.chain(["{ nobody@local.invalid = x }".to_owned()]).collect()));
        fs::write(self.at("etc/main.cf"), main).expect("written");
        fs::write(self.at("etc/master.cf"), MASTER.replace("ADDRESS", &self.address.to_string())).expect("written");
        // Refused once the message is there.
        fs::write(self.at("etc/header_checks"), "/^Subject: forbidden/ REJECT not here\n").expect("written");
    }

    /// Starts it and waits until it listens.
    pub fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.at("start.log")).expect("a log");
        let child = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.at("etc"))
            .arg("start-fg")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            // When its master ends, it ends all of its group.
            .process_group(0)
            .spawn()
            .expect("postfix, of tests/packages.txt");
        self.child = Some(child);
        eventually("Postfix listens", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none(), "Postfix ended: {}", self.log());
            TcpStream::connect(self.address).is_ok()
        });
    }

    /// Ends it, with its services, and waits until nobody listens.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = child.wait();
        // The master has left its parent's group, and services outlive it for a while: smtpd goes on taking mail.
        let master = fs::read_to_string(self.at("queue/pid/master.pid")).unwrap_or_default();
        let master = master.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        for group in [Some(pid), master].into_iter().flatten() {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let start = Instant::now();
        while TcpStream::connect(self.address).is_ok() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has it try at once what waits.
    pub fn flush(&self) {
        let done = Command::new("postqueue").arg("-c").arg(self.at("etc")).arg("-f").output().expect("postqueue");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.at(name)).unwrap_or_default();
        format!("{}{}", read("start.log"), read("mail.log"))
    }

    /// A session of a client that may send to everybody.
    pub fn smtp(&self) -> Smtp {
        Smtp::open(self.address)
    }

    /// What pam has that contains `text`.
    pub fn messages(&self, text: &str) -> Vec<String> {
        let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
        let all = files(&self.at("mail/pam/new")).into_iter().map(|file| fs::read(file.path()).expect("a message"));
        all.map(|octets| String::from_utf8_lossy(&octets).into_owned()).filter(|found| found.contains(text)).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("-- the log of Postfix --\n{}", self.log());
        }
    }
}

const MAIN: &str = "hopcount_limit = 100
compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
maillog_file = DIR/mail.log
maillog_file_prefixes = DIR
myhostname = mx.p.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
alias_maps =
alias_database =
local_recipient_maps =
notify_classes =
default_transport = error:5.4.4 no way to this domain
transport_maps = ROUTES
virtual_mailbox_domains = p.test
virtual_mailbox_maps = inline:{ { pam@p.test = pam/ } }
virtual_alias_maps = ALIASES
virtual_mailbox_base = DIR/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
message_size_limit = 100000
header_checks = regexp:DIR/etc/header_checks
smtpd_tls_chain_files = DIR/etc/key.pem DIR/etc/chain.pem
smtpd_tls_security_level = may
smtp_tls_security_level = may
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
transport_retry_time = 1s
smtp_destination_concurrency_failed_cohort_limit = 0
in_flow_delay = 0
";

const MASTER: &str = "ADDRESS inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
";
