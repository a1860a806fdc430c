//! Commands about buckets and keys.

use std::io::Write;

use bolt::{BoltError, Bucket, BucketStats, Element, Snapshot};
use cmdline::Call;

use super::{
    Run,
    format::{format_bytes, parse_bytes},
    open, unwritten,
};
use crate::{dbfile::text_of, failure::Failure, golang::hex, golang::quote_bytes, intact};

fn failed(error: BoltError) -> Failure {
    Failure::new(text_of(&error))
}

pub(super) fn buckets(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    let mut elements = snapshot.top().elements();
    while let Some(element) = elements.next().map_err(failed)? {
        if let Element::Bucket(name, _) = element {
            line(out, &name)?;
        }
    }
    Ok(())
}

pub(super) fn check(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    let problems = match call.flags.uint("from-page") {
        0 => {
            let mut problems = bolt::check_metas(&snapshot);
            problems.extend(bolt::check(&snapshot));
            problems
        }
        from => bolt::check_from(&snapshot, from),
    };
    if problems.is_empty() {
        return line(out, b"OK");
    }
    for problem in &problems {
        line(out, intact::line_of(problem).as_bytes())?;
    }
    line(out, format!("{} errors found", problems.len()).as_bytes())?;
    Err(Failure::new("invalid value"))
}

pub(super) fn info(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    line(out, format!("Page Size: {}", snapshot.page_size()).as_bytes())
}

/// The bucket that names lead to.
fn find(snapshot: &Snapshot, names: &[String]) -> Result<Bucket, Failure> {
    names.iter().try_fold(snapshot.top(), |bucket, name| {
        match bucket.find(name.as_bytes()).map_err(failed)? {
            Some(Element::Bucket(_, below)) => Ok(below),
            _ => Err(Failure::new("bucket not found")),
        }
    })
}

pub(super) fn keys(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    let mut elements = find(&snapshot, &call.args[1..])?.elements();
    while let Some(element) = elements.next().map_err(failed)? {
        let (Element::Key(name, _) | Element::Bucket(name, _)) = element;
        line(out, &format_bytes(&name, call.flags.text("format"))?)?;
    }
    Ok(())
}

pub(super) fn get(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let (path, words) = call.args.split_first().unwrap_or((&call.args[0], &[]));
    let (text, names) = words.split_last().ok_or_else(|| Failure::new("key required"))?;
    if path.is_empty() {
        return Err(Failure::new("path required"));
    }
    let key = parse_bytes(text, call.flags.text("parse-format"))?;
    if key.is_empty() {
        return Err(Failure::new("key is required: key required"));
    }
    let snapshot = open(path)?;
    match find(&snapshot, names)?.find(&key).map_err(failed)? {
        Some(Element::Key(_, value)) => line(out, &format_bytes(&value, call.flags.text("format"))?),
        _ => Err(Failure::new(format!(
            "Error key not found for key: {} hex: \"{}\"",
            quote_bytes(&key),
            hex(&key)
        ))),
    }
}

pub(super) fn inspect(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    // In a damaged file buckets may hold each other; this finds out.
    snapshot.unused_pages().map_err(failed)?;
    let mut text = String::new();
    describe(b"root", &snapshot.top(), 0, &mut text)?;
    line(out, text.as_bytes())
}

fn describe(name: &[u8], bucket: &Bucket, depth: usize, text: &mut String) -> Result<(), Failure> {
    let outer = "    ".repeat(depth);
    let name = serde_json::Value::from(String::from_utf8_lossy(name).into_owned()).to_string();
    let name = name.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let mut keys = 0;
    let mut below = Vec::new();
    let mut elements = bucket.elements();
    while let Some(element) = elements.next().map_err(failed)? {
        match element {
            Element::Key(..) => keys += 1,
            Element::Bucket(name, bucket) => {
                let mut one = String::new();
                describe(&name, &bucket, depth + 2, &mut one)?;
                below.push(one);
            }
        }
    }
    text.push_str(&format!("{outer}{{\n{outer}    \"name\": {name},\n{outer}    \"keyN\": {keys}"));
    if !below.is_empty() {
        text.push_str(&format!(",\n{outer}    \"buckets\": [\n{}\n{outer}    ]", below.join(",\n")));
    }
    text.push_str(&format!("\n{outer}}}"));
    Ok(())
}

pub(super) fn stats(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let prefix = call.args.get(1).map(String::as_bytes).unwrap_or_default();
    let snapshot = open(&call.args[0])?;
    snapshot.unused_pages().map_err(failed)?;
    let mut sum = BucketStats::default();
    let mut count = 0;
    let mut elements = snapshot.top().elements();
    while let Some(element) = elements.next().map_err(failed)? {
        if let Element::Bucket(name, bucket) = element
            && name.starts_with(prefix)
        {
            sum.add(&bucket.stats().map_err(failed)?);
            count += 1;
        }
    }
    out.write_all(stats_text(&sum, count).as_bytes()).map_err(unwritten)
}

fn stats_text(s: &BucketStats, count: u64) -> String {
    // As bbolt computes it, with numbers of 32 bits.
    let percent = |part: u64, of: u64| if of == 0 { 0 } else { (part as f32 * 100.0 / of as f32) as u64 };
    format!(
        "Aggregate statistics for {count} buckets\n\n\
         Page count statistics\n\
         \tNumber of logical branch pages: {}\n\
         \tNumber of physical branch overflow pages: {}\n\
         \tNumber of logical leaf pages: {}\n\
         \tNumber of physical leaf overflow pages: {}\n\
         Tree statistics\n\
         \tNumber of keys/value pairs: {}\n\
         \tNumber of levels in B+tree: {}\n\
         Page size utilization\n\
         \tBytes allocated for physical branch pages: {}\n\
         \tBytes actually used for branch data: {} ({}%)\n\
         \tBytes allocated for physical leaf pages: {}\n\
         \tBytes actually used for leaf data: {} ({}%)\n\
         Bucket statistics\n\
         \tTotal number of buckets: {}\n\
         \tTotal number on inlined buckets: {} ({}%)\n\
         \tBytes used for inlined buckets: {} ({}%)\n",
        s.branch_pages,
        s.branch_overflows,
        s.leaf_pages,
        s.leaf_overflows,
        s.keys,
        s.depth,
        s.branch_bytes,
        s.branch_bytes_used,
        percent(s.branch_bytes_used, s.branch_bytes),
        s.leaf_bytes,
        s.leaf_bytes_used,
        percent(s.leaf_bytes_used, s.leaf_bytes),
        s.buckets,
        s.inline_buckets,
        percent(s.inline_buckets, s.buckets),
        s.inline_bytes_used,
        percent(s.inline_bytes_used, s.leaf_bytes_used),
    )
}

fn line(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    out.write_all(bytes).and_then(|()| out.write_all(b"\n")).map_err(unwritten)
}
