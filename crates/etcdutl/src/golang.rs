//! Texts as Go's standard library writes them, which users know from etcdutl.

use std::{io, path::Path};

/// What the system said, as Go prints it: the C library's text in lower case, without a number.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// An error with what was tried on which file: `open x: no such file or directory`.
pub(crate) fn path_error(doing: &str, path: &Path, error: &io::Error) -> String {
    format!("{doing} {}: {}", path.display(), io_text(error))
}

/// Bytes as `%v` prints them.
pub(crate) fn byte_list(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

/// A path in its shortest form, as `filepath.Join` leaves it.
pub(crate) fn join(base: &str, rest: &str) -> String {
    let text = [base, rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let rooted = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Bytes in quotes as `%q` prints them: what is no text, byte by byte.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = cmdline::golang::quote(chunk.valid());
        quoted.push_str(&valid[1..valid.len() - 1]);
        chunk.invalid().iter().for_each(|byte| quoted.push_str(&format!("\\x{byte:02x}")));
    }
    quoted.push('"');
    quoted
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(path_error("stat", Path::new("a/b"), &error), "stat a/b: no such file or directory");
    }

    #[test]
    fn paths_are_joined_as_go_does() {
        for (base, rest, joined) in [
            ("a", "member/wal", "a/member/wal"),
            ("./a/", "b", "a/b"),
            ("/", "b", "/b"),
            ("../x/../y", "b", "../y/b"),
            ("", "", "."),
            ("/..", "a", "/a"),
        ] {
            assert_eq!(join(base, rest), joined);
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(byte_list(&[73, 0, 255]), "[73 0 255]");
        assert_eq!(quote_bytes(b"a\"\xff\n"), r#""a\"\xff\n""#);
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
