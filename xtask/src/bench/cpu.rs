//! CPU seconds and memory of processes, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks a second (`getconf CLK_TCK`); Linux has shown user space 100 of them on every platform for decades.
const TICKS: f64 = 100.0;

/// CPU seconds of a process, its children that have ended, and those that have not.
pub(crate) fn seconds(pid: u32) -> Result<f64> {
    let (own, ended) = ticks(pid).with_context(|| format!("no process {pid}"))?;
    let mut total = own + ended;
    for entry in fs::read_dir("/proc")?.flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        // One that ends meanwhile is counted by its parent the next time.
        if let Some(child) = child.filter(|child| parent(*child) == Some(pid)) {
            total += ticks(child).map_or(0.0, |(own, ended)| own + ended);
        }
    }
    Ok(total / TICKS)
}

/// Fields of `/proc/PID/stat` after the name, which may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// Ticks of the process and of its children that were waited for.
fn ticks(pid: u32) -> Option<(f64, f64)> {
    let fields = stat(pid)?;
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    Some((number(11)? + number(12)?, number(13)? + number(14)?))
}

/// Most resident memory so far, in MB.
pub(crate) fn peak_memory(pid: u32) -> Result<f64> {
    megabytes(pid, "VmHWM:")
}

/// Resident memory, in MB.
pub(crate) fn memory(pid: u32) -> Result<f64> {
    megabytes(pid, "VmRSS:")
}

fn megabytes(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("no {key} in /proc/PID/status"))? / 1024.0)
}
