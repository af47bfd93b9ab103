//! The machine and what the process uses of it, from `/proc`. What a system does not tell is absent, not zero.

use std::fs;

use serde::{Deserialize, Serialize};

/// Ticks of the CPU times in `/proc`: the same on all Linux systems.
const TICKS_PER_SECOND: f64 = 100.0;
/// Load at the start above which times are not to be trusted.
const BUSY: f64 = 1.0;

/// Where a result was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) version: String,
    /// `release`, or `debug`, whose times mean nothing.
    pub(crate) build: String,
    pub(crate) kernel: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) container_memory_bytes: Option<u64>,
    /// Load average of the last minute, at the start.
    pub(crate) load: Option<f64>,
}

impl Environment {
    /// This machine, now.
    pub(crate) fn now() -> Self {
        let cpu_line = |text: String| {
            let line = text.lines().find(|line| line.starts_with("model name"))?.to_owned();
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|s| s.trim().to_owned()),
            cpu: fs::read_to_string("/proc/cpuinfo").ok().and_then(cpu_line),
            cores: cores(),
            memory_bytes: kibibytes("/proc/meminfo", "MemTotal:"),
            container_memory_bytes: fs::read_to_string("/sys/fs/cgroup/memory.max")
                .ok()
                .and_then(|s| s.trim().parse().ok()),
            load: load(),
        }
    }

    /// What makes times doubtful.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(load) = self.load.filter(|load| *load > BUSY) {
            warnings.push(format!("the machine is busy: load {load:.2} at the start; times are not to be trusted"));
        }
        if self.build == "debug" {
            warnings.push("this is a debug build; its times say nothing".to_owned());
        }
        warnings
    }
}

/// Cores that the process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// CPU seconds of all threads of this process, user and system.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in parentheses, may hold anything; the fields after it are fixed.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// Most bytes that were resident since the start or the last [`reset_peak_memory`].
pub(crate) fn peak_memory() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// Starts counting [`peak_memory`] again from what is resident now. Not all systems allow it.
pub(crate) fn reset_peak_memory() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn kibibytes(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The time now, as text.
pub(crate) fn timestamp() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
