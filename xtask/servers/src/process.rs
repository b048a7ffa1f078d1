//! Child processes that never outlive this one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

type Spawn = (Command, Sender<io::Result<Child>>);

/// The kernel ties a child's parent-death signal to the thread that made it. Test threads and pool threads end early, so
/// one thread that lives as long as the process makes all children.
static SPAWNER: LazyLock<Mutex<Sender<Spawn>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Spawn>();
    std::thread::spawn(move || {
        for (mut command, answer) in receiver {
            // A caller that has gone away drops its child's handle; the child dies with this process.
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

/// A running child with its output in a log file. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Runs `command` with its output appended to `log`, in a process group of its own so that Ctrl-C reaches only us, and
    /// killed by the kernel when this process dies.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot write {}", log.display()))?;
        let mut guarded = guarded(command);
        guarded.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Self { name: name.to_owned(), child: spawn(guarded)?, log: log.to_owned() })
    }

    /// Like [`Process::spawn`], but gives standard output back as a pipe through [`Process::take_stdout`].
    pub fn spawn_piped(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let errors = OpenOptions::new().create(true).append(true).open(log);
        let errors = errors.with_context(|| format!("cannot write {}", log.display()))?;
        let mut guarded = guarded(command);
        guarded.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        Ok(Self { name: name.to_owned(), child: spawn(guarded)?, log: log.to_owned() })
    }

    /// Standard output of a child made by [`Process::spawn_piped`], once.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Process id of the child.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds the child's output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of the log, for an error message.
    pub fn last_words(&self) -> String {
        last_lines(&self.log)
    }

    /// How the child ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `ready` holds, and fails with the end of the log when the child ends first or the time is over.
    pub fn wait_ready(&mut self, deadline: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let what = format!("{} to be ready", self.name);
        let (name, log) = (self.name.clone(), self.log.clone());
        wait_until(&what, deadline, || match self.child.try_wait() {
            Ok(None) => ready().then_some(Ok(())),
            ended => Some(Err(ended)),
        })
        .with_context(|| last_lines(&log))?
        .map_err(|ended| match ended {
            Ok(Some(status)) => {
                anyhow::anyhow!("{name} ended at its start with {status}; {}", last_lines(&log))
            }
            other => anyhow::anyhow!("cannot watch {name}: {other:?}"),
        })
    }

    /// SIGKILL for the child and for its children, which a crash of the machine would take along as well.
    pub fn kill9(&mut self) -> Result<()> {
        if self.exited()?.is_some() {
            return Ok(());
        }
        let family = children_of(self.pid());
        self.child.kill()?;
        self.child.wait()?;
        for pid in family.into_iter().filter_map(to_pid) {
            // One that ended together with its parent is gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(())
    }

    /// Sends the child a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = to_pid(self.pid()).context("a child without a process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Asks the child to end by `signal` and waits for it; fails, having killed it, when it takes longer than `deadline`.
    pub fn end(&mut self, signal: Signal, deadline: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.signal(signal)?;
        let what = format!("{} to end after {signal:?}", self.name);
        let child = &mut self.child;
        let ended = wait_until(&what, deadline, || child.try_wait().transpose());
        if ended.is_err() {
            self.kill9()?;
        }
        Ok(ended??)
    }

    /// Asks the child to end as Ctrl-C or `docker stop` would (SIGTERM), see [`Process::end`].
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.end(Signal::TERM, deadline)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.kill9();
    }
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command to its end and returns its standard output; a failure carries both outputs.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {shown}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed with {}:\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

/// A command as a person would type it, cut after a reasonable length.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    let line = words.join(" ");
    match line.char_indices().nth(300) {
        Some((cut, _)) => format!("{} …", &line[..cut]),
        None => line,
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn last_lines(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    format!("the end of {}:\n{}", log.display(), last.join("\n"))
}

fn spawn(command: Command) -> Result<Child> {
    let line = shown(&command);
    let (sender, receiver) = channel();
    let spawner = SPAWNER.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    spawner.send((command, sender)).context("the spawning thread has ended")?;
    receiver.recv()?.with_context(|| format!("cannot run {line}"))
}

/// The same command under `setpriv --pdeathsig KILL` (util-linux, on every Debian); the process id stays the command's own.
fn guarded(command: &Command) -> Command {
    let mut guarded = Command::new("setpriv");
    guarded.args(["--pdeathsig", "KILL"]);
    // A change of user clears the signal, so both belong to one call of setpriv.
    if command.get_program() != "setpriv" {
        guarded.arg("--").arg(command.get_program());
    }
    guarded.args(command.get_args()).process_group(0);
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(key, value),
            None => guarded.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        guarded.current_dir(dir);
    }
    guarded
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Children of a process, by the parent field of every `/proc/PID/stat`.
fn children_of(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold blanks; state and parent follow it.
        let parent_field = stat.rsplit(')').next().and_then(|s| s.split_whitespace().nth(1));
        parent_field.and_then(|p| p.parse().ok()) == Some(parent)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_ends_early_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'no such thing: x'; exit 3"]);
        let mut child = Process::spawn("sh", &command, &dir.path().join("log")).unwrap();
        let error = child.wait_ready(Duration::from_secs(60), || false).unwrap_err().to_string();
        assert!(error.contains("no such thing: x") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn dropping_a_child_kills_it_and_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "cat /dev/zero >/dev/null & wait"]);
        let child = Process::spawn("sh", &command, &dir.path().join("log")).unwrap();
        let family = wait_until("the grandchild", Duration::from_secs(60), || {
            Some(children_of(child.pid())).filter(|family| !family.is_empty())
        })
        .unwrap();
        drop(child);
        wait_until("the grandchild's end", Duration::from_secs(60), || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", family[0])).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        })
        .unwrap();
    }
}
