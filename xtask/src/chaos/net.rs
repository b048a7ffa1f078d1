//! A network namespace for each worker, joined by a bridge, so that one of them can be cut off. Needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use xtask_servers::output_of;

/// Names begin so, followed by our process id: what a killed run left behind is known by it.
const PREFIX: &str = "fvc";
/// Where `ip netns` keeps its names.
const NAMESPACES: &str = "/run/netns";

/// The bridge and the namespaces. Dropping it removes them.
#[derive(Debug)]
pub(super) struct Net {
    name: String,
    /// Link-local addresses: what goes astray never leaves this machine.
    subnet: String,
    workers: usize,
}

impl Net {
    /// Makes the bridge and a namespace for each of `workers`.
    pub(super) fn make(workers: usize) -> Result<Self> {
        remove_leftovers();
        let pid = std::process::id();
        let net = Self {
            name: format!("{PREFIX}{pid}"),
            subnet: format!("169.254.{}", 1 + pid % 250),
            workers,
        };
        let bridge = &net.name;
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", net.host()))?;
        ip(&format!("link set {bridge} up"))?;
        for worker in 0..workers {
            let (namespace, link) = (net.namespace(worker), net.link(worker));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {link} master {bridge} up"))?;
            ip(&format!("-n {namespace} addr add {}/24 dev eth0", net.address(worker)))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(net)
    }

    /// Our own address on the bridge, where servers listen for workers.
    pub(super) fn host(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// The addresses of host and workers, as PostgreSQL names them.
    pub(super) fn range(&self) -> String {
        format!("{}.0/24", self.subnet)
    }

    /// A worker's address.
    pub(super) fn address(&self, worker: usize) -> String {
        format!("{}.{}", self.subnet, 10 + worker)
    }

    /// The command that runs `program` in a worker's namespace, under its own process id.
    pub(super) fn command(&self, worker: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(worker)]).arg(program);
        command
    }

    /// Cuts a worker off: packets are lost, no connection is closed.
    pub(super) fn cut(&self, worker: usize) -> Result<()> {
        ip(&format!("link set {} down", self.link(worker)))
    }

    /// Joins a worker again.
    pub(super) fn join(&self, worker: usize) -> Result<()> {
        ip(&format!("link set {} up", self.link(worker)))
    }

    fn namespace(&self, worker: usize) -> String {
        format!("{}-{worker}", self.name)
    }

    fn link(&self, worker: usize) -> String {
        format!("{}w{worker}", self.name)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for worker in 0..self.workers {
            // What was never made cannot be removed, and nobody is left to tell.
            let _ = ip(&format!("link del {}", self.link(worker)));
            let _ = ip(&format!("netns del {}", self.namespace(worker)));
        }
        let _ = ip(&format!("link del {}", self.name));
    }
}

/// Removes what runs left that were killed themselves.
fn remove_leftovers() {
    let names = |folder: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let dead = |name: &String| {
        let digits = name.strip_prefix(PREFIX).map(|rest| rest.split(['-', 'w']).next());
        let pid = digits.flatten().and_then(|digits| digits.parse::<u32>().ok());
        pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    for namespace in names(NAMESPACES).into_iter().filter(dead) {
        // A run beside ours may be as quick.
        let _ = ip(&format!("netns del {namespace}"));
    }
    for link in names("/sys/class/net").into_iter().filter(dead) {
        let _ = ip(&format!("link del {link}"));
    }
}

fn ip(words: &str) -> Result<()> {
    output_of(Command::new("ip").args(words.split(' '))).map(drop)
}
