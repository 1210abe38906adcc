//! A child process and what `/proc` tells of it.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Fault;

/// Linux counts times of processes in hundredths of a second on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running child. Dropping it kills it.
pub struct Process(Child);

impl Process {
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Process, Fault> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if std::env::var_os("UDMILL_BENCH_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Process(child))
    }

    /// Seconds of processor of all its threads, user and system, ended ones included.
    pub fn cpu_seconds(&self) -> Result<f64, Fault> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).map_err(|_| "the process has ended")?;
        seconds(&stat).ok_or_else(|| "`/proc` tells no times".into())
    }

    /// The same by names of threads; a number at the end of a name is left out.
    pub fn threads(&self) -> Result<BTreeMap<String, f64>, Fault> {
        let mut by_name = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let path = task?.path();
            // A thread may end between the two.
            let (Ok(name), Ok(stat)) = (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("stat"))) else { continue };
            let name = name.trim().trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-').to_owned();
            *by_name.entry(name).or_default() += seconds(&stat).unwrap_or_default();
        }
        Ok(by_name)
    }

    /// The largest resident set so far.
    pub fn peak_bytes(&self) -> u64 {
        let told = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; that showed in its times.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn seconds(stat: &str) -> Option<f64> {
    // The name stands in brackets and may hold blanks; `utime` and `stime` are the 12th and 13th words behind it.
    let words: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    Some((words.get(11)?.parse::<f64>().ok()? + words.get(12)?.parse::<f64>().ok()?) / TICKS_PER_SECOND)
}

/// The processor, how many of it, and the load.
pub fn host() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        told.lines().find_map(|line| line.strip_prefix("model name")).map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {count} processors, load {}", load.split(' ').next().unwrap_or_default())
}
