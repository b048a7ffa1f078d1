//! Debian packages that a server or the build needs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A Debian package, and a file by which one sees that it is there.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name for apt.
    pub name: &'static str,
    /// A program that is searched where programs are, or the absolute path of another file.
    pub proof: &'static str,
}

/// Declares packages as `NAME: "package" by "proof"`.
macro_rules! packages {
    ($($(#[$doc:meta])* $id:ident: $name:literal by $proof:literal;)*) => {
        $($(#[$doc])* pub const $id: Package = Package { name: $name, proof: $proof };)*
    };
}

packages! {
    /// PostgreSQL, server and client.
    POSTGRESQL: "postgresql" by "initdb";
    /// MariaDB, server and client.
    MARIADB: "mariadb-server" by "mariadbd";
    /// The client that reads from MariaDB and MySQL.
    MARIADB_CLIENT: "mariadb-client" by "mariadb";
    /// A Java runtime for Kafka and Cassandra.
    JAVA: "default-jdk-headless" by "java";
    /// Fetches Kafka and Cassandra.
    MAVEN: "maven" by "mvn";
    /// Unpacks MySQL.
    MMDEBSTRAP: "mmdebstrap" by "mmdebstrap";
    /// A C compiler, for librdkafka and the C parts of other crates.
    GCC: "gcc" by "cc";
    /// A C++ compiler, for librdkafka.
    GXX: "g++" by "c++";
    /// Builds librdkafka.
    MAKE: "make" by "make";
    /// Configures OpenSSL, which is built for librdkafka; perl-base alone lacks modules.
    PERL: "perl" by "pod2man";
    /// Python with environments of its own, for the tests of the API.
    PYTHON_VENV: "python3-venv" by "/usr/share/doc/python3-venv";
    /// zlib's headers, for librdkafka.
    ZLIB: "zlib1g-dev" by "/usr/include/zlib.h";
}

/// Installs those packages that aren't there, saying which, with apt-get (through sudo when not root).
pub fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|p| find(p.proof).is_none()).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "these Debian packages are needed: {names}; there is no apt-get here, so install their like by hand"
        );
    }
    eprintln!("installing with apt-get: {names}");
    if install(&missing).is_err() {
        // Fresh machines have no package lists, others old ones.
        apt_get(&["update", "-qq"])
            .with_context(|| no_luck("cannot fetch Debian's package lists", &names))?;
        install(&missing).with_context(|| no_luck("cannot install Debian packages", &names))?;
    }
    match packages.iter().find(|p| find(p.proof).is_none()) {
        None => Ok(()),
        Some(p) => bail!("package {} is installed, but {} is not there", p.name, p.proof),
    }
}

fn no_luck(what: &str, names: &str) -> String {
    format!(
        "{what} (is there a network?); install by hand, then try again: apt-get install {names}"
    )
}

fn install(names: &[&str]) -> Result<()> {
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(names);
    apt_get(&args)
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("env")
    } else if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    } else {
        bail!("installing packages needs root, and there is no sudo: run this once as root");
    };
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]);
    let output =
        command.args(args).stdin(Stdio::inherit()).output().context("cannot run apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("apt-get {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}

/// Finds a program on the path, in the administrator's folders and among PostgreSQL's (newest version first), or a file by its absolute path.
pub fn find(proof: &str) -> Option<PathBuf> {
    if Path::new(proof).is_absolute() {
        return Some(PathBuf::from(proof)).filter(|file| file.exists());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.chain(postgres_folders()).map(|folder| folder.join(proof)).find(|file| file.is_file())
}

/// Debian keeps the programs of each PostgreSQL version in a folder that is not on the path.
fn postgres_folders() -> Vec<PathBuf> {
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_files_and_nothing_else() {
        assert!(find("sh").is_some());
        assert!(find("/proc/self/stat").is_some());
        assert!(find("no-such-program").is_none());
        assert!(find("/no/such/file").is_none());
    }

    #[test]
    fn what_is_there_needs_no_apt() {
        ensure(&[Package { name: "dash", proof: "sh" }]).unwrap();
    }
}
