//! `process_*`: what the operating system says of this process, read at each scrape.

use std::fs;

use crate::render::{head, number, push};

/// Kernel clock ticks per second in `/proc/*/stat`; fixed by Linux' user interface.
const TICKS_PER_SEC: f64 = 100.0;

/// Fields of `/proc/self/stat`, counted from the one after the command name.
const STAT_UTIME: usize = 11;
const STAT_STIME: usize = 12;
const STAT_STARTTIME: usize = 19;
const STAT_VSIZE: usize = 20;
const STAT_RSS_PAGES: usize = 21;

/// Each metric that could be read, with its text. Nothing where there is no `/proc`.
pub(crate) fn rendered() -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    let mut add = |name: &'static str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let mut text = String::new();
            head(name, kind, help, &mut text);
            push(&mut text, format_args!("{name} {}\n", number(value)));
            parts.push((name, text));
        }
    };
    let stat = stat();
    let field = |i: usize| stat.as_ref().and_then(|fields| fields.get(i).copied());
    let page = rustix::param::page_size() as f64;
    let cpu = field(STAT_UTIME).zip(field(STAT_STIME)).map(|(user, system)| (user + system) / TICKS_PER_SEC);
    let start = field(STAT_STARTTIME).zip(boot_time()).map(|(ticks, boot)| boot + ticks / TICKS_PER_SEC);
    let network = network();
    add("process_cpu_seconds_total", "counter", "CPU time.", cpu);
    add("process_max_fds", "gauge", "Fd limit.", limit("Max open files"));
    add("process_network_receive_bytes_total", "counter", "Network bytes received.", network.map(|n| n.0));
    add("process_network_transmit_bytes_total", "counter", "Network bytes sent.", network.map(|n| n.1));
    add("process_open_fds", "gauge", "Open fds.", open_fds().map(|n| n as f64));
    add("process_resident_memory_bytes", "gauge", "RSS.", field(STAT_RSS_PAGES).map(|pages| pages * page));
    add("process_start_time_seconds", "gauge", "Start time.", start);
    add("process_virtual_memory_bytes", "gauge", "Virtual size.", field(STAT_VSIZE));
    add("process_virtual_memory_max_bytes", "gauge", "Address space limit.", limit("Max address space"));
    parts
}

/// Open file descriptors of this process.
pub fn open_fds() -> Option<u64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64)
}

/// The soft limit on open file descriptors.
pub fn fd_limit() -> Option<u64> {
    limit("Max open files").map(|n| n as u64)
}

fn stat() -> Option<Vec<f64>> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    // The first field is the state, a letter; its place is kept.
    Some(rest.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect())
}

fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// A soft limit; `unlimited` is what Prometheus' clients print for it, the largest unsigned number.
fn limit(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let soft = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.to_string();
    if soft == "unlimited" { Some(u64::MAX as f64) } else { soft.parse().ok() }
}

/// Bytes received and sent in this network namespace.
fn network() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let values: Vec<&str> = lines.next()?.split_whitespace().collect();
    let value = |name: &str| values.get(names.iter().position(|n| *n == name)?)?.parse().ok();
    Some((value("InOctets")?, value("OutOctets")?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_this_process() {
        let parts = super::rendered();
        let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 9, "{names:?}");
        let rss = &parts.iter().find(|(name, _)| *name == "process_resident_memory_bytes").unwrap().1;
        let value: f64 = rss.lines().last().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        assert!(value > 100_000.0, "{rss}");
    }
}
