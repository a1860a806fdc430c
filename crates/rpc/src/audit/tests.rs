use std::{fs, path::Path, time::Duration};

use super::*;

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits, in bounded time, for what the writer does by itself.
fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not happen");
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("audit"), dir.path().join("audit.1"));
    let log = AuditLog::start(AuditOutput::File(path.clone()), false).unwrap();
    log.write("one\n".into());
    until(|| lines(&path) == ["one"]);
    fs::rename(&path, &moved).unwrap();
    // Within a second lines may still go to the old file, which whoever rotates keeps.
    until(|| {
        log.write("more\n".into());
        path.exists()
    });
    log.close();
    assert_eq!(lines(&moved)[0], "one");
    assert!(lines(&path).iter().all(|line| line == "more"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn lines_that_nobody_takes_are_dropped_and_counted() {
    // A pipe that nobody reads: the writer waits for ever on its first line.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0)
        .unwrap();
    // Kept open for reading, so that opening it for writing does not wait.
    let reader = fs::File::options().read(true).write(true).open(&path).unwrap();
    let log = AuditLog::start(AuditOutput::File(path), false).unwrap();
    let line = "x".repeat(1 << 20);
    for _ in 0..2 * QUEUE_BYTES / line.len() {
        log.write(line.clone());
    }
    let dropped = log.shared.dropped.load(Relaxed);
    assert!((10..=2 * QUEUE_BYTES as u64).contains(&dropped), "{dropped}");
    assert!(log.shared.waiting.load(Relaxed) <= QUEUE_BYTES);
    assert!(telemetry::page().lines().any(|line| line.starts_with("mainstay_audit_lines_dropped_total ")));
    // Once somebody reads, the log says what is missing.
    let read = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader};
        let mut text = BufReader::new(reader).lines();
        text.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"dropped\""))).unwrap().unwrap()
    });
    until(|| log.shared.waiting.load(Relaxed) == 0);
    until(|| {
        log.write("last\n".into());
        read.is_finished()
    });
    let told = read.join().unwrap();
    assert!(told.contains(&format!("\"dropped\":{dropped}")), "{told}");
}

#[test]
fn keys_are_summed_when_they_are_not_to_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let open = || AuditLog::start(AuditOutput::File(dir.path().join("audit")), true).unwrap();
    let show = |log: &AuditLog, key: &[u8]| {
        let mut out = Vec::new();
        log.show_key(key, &mut out);
        String::from_utf8(out).unwrap()
    };
    let log = open();
    let shown = show(&log, b"key");
    assert!(shown.starts_with("\"#") && shown.len() == 2 + 16 + 1, "{shown}");
    assert_eq!(shown, show(&log, b"key"));
    assert_ne!(shown, show(&log, b"kez"));
    assert_ne!(shown, show(&open(), b"key"), "nobody can find a key by summing all he knows");
}
