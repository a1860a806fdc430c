//! Results on standard output, in the formats of `--write-out`.

use mvcc::KvHash;
use telemetry::log::size;

use crate::{failure::Failure, status::Status};

/// A format of `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Simple,
    Json,
    Fields,
    Table,
    Protobuf,
}

impl Format {
    /// By its name.
    ///
    /// # Errors
    /// Etcdutl's, with its exit code.
    pub(crate) fn from_name(name: &str) -> Result<Format, Failure> {
        Ok(match name {
            "simple" => Format::Simple,
            "json" => Format::Json,
            "fields" => Format::Fields,
            "table" => Format::Table,
            "protobuf" => Format::Protobuf,
            _ => return Err(Failure::bad_feature("unsupported output format")),
        })
    }
}

/// What `snapshot status` prints.
pub(crate) fn status(format: Format, status: &Status) -> Result<String, Failure> {
    let Status { hash, revision, total_key, total_size, version } = status;
    let row = [
        format!("{hash:x}"),
        revision.to_string(),
        total_key.to_string(),
        size(*total_size),
        version.clone(),
    ];
    Ok(match format {
        Format::Simple => format!("{}\n", row.join(", ")),
        Format::Table => table(&["hash", "revision", "total keys", "total size", "version"], &[row.to_vec()]),
        Format::Fields => format!(
            "\"Hash\" : {hash}\n\"Revision\" : {revision}\n\"Keys\" : {total_key}\n\"Size\" : {total_size}\n\"Version\" : {version}\n"
        ),
        Format::Json => {
            let version = serde_json::Value::from(version.as_str());
            format!(
                "{{\"hash\":{hash},\"revision\":{revision},\"totalKey\":{total_key},\"totalSize\":{total_size},\"version\":{version}}}\n"
            )
        }
        Format::Protobuf => return Err(no_protobuf()),
    })
}

/// What `hashkv` prints.
pub(crate) fn hash_kv(format: Format, found: &KvHash) -> Result<String, Failure> {
    let KvHash { hash, revision, compacted } = found;
    let row = [hash.to_string(), revision.to_string(), compacted.to_string()];
    Ok(match format {
        Format::Simple => format!("{}\n", row.join(", ")),
        Format::Table => table(&["hash", "hash revision", "compact revision"], &[row.to_vec()]),
        Format::Fields => {
            format!("\"Hash\" : {hash}\n\"Hash revision\" : {revision}\n\"Compact revision\" : {compacted}\n")
        }
        Format::Json => {
            format!("{{\"hash\":{hash},\"hashRevision\":{revision},\"compactRevision\":{compacted}}}\n")
        }
        Format::Protobuf => return Err(no_protobuf()),
    })
}

fn no_protobuf() -> Failure {
    Failure::bad_feature("protobuf not supported as output format")
}

/// A table with thin lines, a headline in capitals in the middle, and cells to the right.
pub(crate) fn table(headline: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = headline
        .iter()
        .enumerate()
        .map(|(column, name)| rows.iter().map(|row| width(&row[column])).fold(width(name), usize::max))
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let mut text = rule("┌", "┬", "┐");
    for (name, column) in headline.iter().zip(&widths) {
        let room = column - width(name);
        let (left, right) = (room / 2, room - room / 2);
        text.push_str(&format!("│ {}{}{} ", " ".repeat(left), name.to_uppercase(), " ".repeat(right)));
    }
    text.push_str("│\n");
    text.push_str(&rule("├", "┼", "┤"));
    for row in rows {
        for (cell, column) in row.iter().zip(&widths) {
            text.push_str(&format!("│ {cell:>column$} "));
        }
        text.push_str("│\n");
    }
    text.push_str(&rule("└", "┴", "┘"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Status {
        Status {
            hash: 0x2cde_f370,
            revision: 62,
            total_key: 59,
            total_size: 40960,
            version: "3.7.0".to_owned(),
        }
    }

    /// Recorded from etcdutl 3.7.1.
    #[test]
    fn status_is_etcdutls() {
        let of = |format| status(format, &sample()).unwrap();
        assert_eq!(of(Format::Simple), "2cdef370, 62, 59, 41 kB, 3.7.0\n");
        assert_eq!(
            of(Format::Json),
            "{\"hash\":752808816,\"revision\":62,\"totalKey\":59,\"totalSize\":40960,\"version\":\"3.7.0\"}\n"
        );
        assert_eq!(
            of(Format::Fields),
            "\"Hash\" : 752808816\n\"Revision\" : 62\n\"Keys\" : 59\n\"Size\" : 40960\n\"Version\" : 3.7.0\n"
        );
        assert_eq!(
            of(Format::Table),
            "┌──────────┬──────────┬────────────┬────────────┬─────────┐\n\
             │   HASH   │ REVISION │ TOTAL KEYS │ TOTAL SIZE │ VERSION │\n\
             ├──────────┼──────────┼────────────┼────────────┼─────────┤\n\
             │ 2cdef370 │       62 │         59 │      41 kB │   3.7.0 │\n\
             └──────────┴──────────┴────────────┴────────────┴─────────┘\n"
        );
        assert_eq!(status(Format::Protobuf, &sample()).unwrap_err().code, crate::Code::BadFeature);
    }

    /// Recorded from etcdutl 3.7.1.
    #[test]
    fn hash_kv_is_etcdutls() {
        let found = KvHash { hash: 1_097_346_172, revision: 62, compacted: 20 };
        assert_eq!(hash_kv(Format::Simple, &found).unwrap(), "1097346172, 62, 20\n");
        assert_eq!(
            hash_kv(Format::Table, &found).unwrap(),
            "┌────────────┬───────────────┬──────────────────┐\n\
             │    HASH    │ HASH REVISION │ COMPACT REVISION │\n\
             ├────────────┼───────────────┼──────────────────┤\n\
             │ 1097346172 │            62 │               20 │\n\
             └────────────┴───────────────┴──────────────────┘\n"
        );
        assert!(Format::from_name("yaml").is_err());
    }
}
