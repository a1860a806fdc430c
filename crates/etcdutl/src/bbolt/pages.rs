//! Commands about single pages.

use std::io::Write;

use bolt::{BoltError, PageKind, Pages, RawPage};
use cmdline::{Call, golang::quote};

use super::{
    Run, check_source,
    format::{format_bytes, page_key},
    open, unwritten,
};
use crate::{dbfile::disk, dbfile::text_of, failure::Failure, golang::hex};

const SEPARATOR: &str = "===============================================\n";
/// Bytes on a line of a dump.
const LINE_BYTES: usize = 16;

fn failed(error: BoltError) -> Failure {
    Failure::new(text_of(&error))
}

fn print(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes()).map_err(unwritten)
}

fn kind_name(kind: PageKind) -> String {
    match kind {
        PageKind::Branch => "branch".to_owned(),
        PageKind::Leaf => "leaf".to_owned(),
        PageKind::Meta => "meta".to_owned(),
        PageKind::Freelist => "freelist".to_owned(),
        PageKind::Unknown(flags) => format!("unknown<{flags:02x}>"),
    }
}

/// Numbers as Go's `ParseUint` takes them in base 10.
fn number(text: &str) -> Result<u64, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = if digits { "value out of range" } else { "invalid syntax" };
    let value = if digits { text.parse().ok() } else { None };
    value.ok_or_else(|| Failure::new(format!("strconv.ParseUint: parsing {}: {why}", quote(text))))
}

fn numbers(texts: &[String]) -> Result<Vec<u64>, Failure> {
    texts.iter().filter(|text| !text.is_empty()).map(|text| number(text)).collect()
}

fn file(path: &str) -> Result<Pages, Failure> {
    Pages::open(&*disk(), check_source(path)?)
        .map_err(|e| Failure::new(format!("read Page size: {}", text_of(&e))))
}

fn read(pages: &Pages, id: u64) -> Result<RawPage, Failure> {
    match pages.page(id) {
        Ok(Some(page)) => Ok(page),
        Ok(None) => Err(Failure::new("EOF")),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn pages(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot = open(&call.args[0])?;
    let unused = snapshot.unused_pages().map_err(failed)?;
    let file = file(&call.args[0])?;
    print(out, "ID       TYPE       ITEMS  OVRFLW\n======== ========== ====== ======\n")?;
    let mut id = 0;
    while id < snapshot.page_count() {
        if unused.contains(id) {
            print(out, &format!("{id:<8} {:<10} {:<6} {:<6}\n", "free", "", ""))?;
            id += 1;
            continue;
        }
        let page =
            file.page(id).map_err(|e| Failure::new(format!("page error: id={id}, err={}", text_of(&e))))?;
        let Some(page) = page else { return Err(Failure::new(format!("page error: id={id}, err=EOF"))) };
        let overflow = if page.overflow() > 0 { page.overflow().to_string() } else { String::new() };
        let kind = kind_name(page.kind());
        print(out, &format!("{id:<8} {kind:<10} {:<6} {overflow:<6}\n", page.count()))?;
        id += u64::from(page.overflow()) + 1;
    }
    Ok(())
}

pub(super) fn page(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let ids = numbers(&call.args[1..])?;
    let all = call.flags.bool("all");
    match (all, ids.is_empty()) {
        (false, true) => return Err(Failure::new("page id required")),
        (true, false) => {
            return Err(Failure::new("invalid args: either use '--all' or 'pageid...'"));
        }
        _ => {}
    }
    let path = check_source(&call.args[0])?;
    let format = call.flags.text("format-value");
    let file = Pages::open(&*disk(), path);
    let mut show = |id: u64, first: bool| -> Result<u64, Failure> {
        let shown = match &file {
            Ok(file) => read(file, id).and_then(|page| Ok((show(&page, format)?, page.overflow()))),
            Err(error) => Err(Failure::new(format!("read Page size: {}", text_of(error)))),
        };
        if !first {
            print(out, SEPARATOR)?;
        }
        match shown {
            Ok((text, overflow)) => {
                out.write_all(&text).map_err(unwritten)?;
                Ok(id + u64::from(overflow) + 1)
            }
            Err(error) => {
                print(out, &format!("Prining page {id} failed: {error}. Continuing...\n"))?;
                Ok(id + 1)
            }
        }
    };
    if all {
        let count = file.as_ref().map_or(0, Pages::page_count);
        let mut id = 0;
        while id < count {
            id = show(id, id == 0)?;
        }
        return Ok(());
    }
    ids.iter().enumerate().try_for_each(|(place, id)| show(*id, place == 0).map(drop))
}

/// A page for the eye.
fn show(page: &RawPage, format: &str) -> Result<Vec<u8>, Failure> {
    let mut text = format!(
        "Page ID:    {}\nPage Type:  {}\nTotal Size: {} bytes\nOverflow pages: {}\n",
        page.id(),
        kind_name(page.kind()),
        page.len(),
        page.overflow()
    )
    .into_bytes();
    match page.kind() {
        PageKind::Meta => {
            let meta = page.meta();
            text.extend_from_slice(
                format!(
                    "Version:    {}\nPage Size:  {} bytes\nFlags:      {:08x}\nRoot:       <pgid={}>\nFreelist:   <pgid={}>\nHWM:        <pgid={}>\nTxn ID:     {}\nChecksum:   {:016x}\n\n",
                    meta.version, meta.page_size, meta.flags, meta.root, meta.freelist, meta.high_water, meta.txid, meta.checksum
                )
                .as_bytes(),
            );
        }
        PageKind::Leaf => {
            text.extend_from_slice(format!("Item Count: {}\n\n", page.count()).as_bytes());
            for index in 0..page.count() {
                let item = page.leaf_item(index).map_err(failed)?;
                text.extend_from_slice(format!("{}: ", page_key(item.key)).as_bytes());
                if item.is_bucket {
                    text.extend_from_slice(bucket_text(item.value).as_bytes());
                } else {
                    text.extend_from_slice(&format_bytes(item.value, format)?);
                }
                text.push(b'\n');
            }
            text.push(b'\n');
        }
        PageKind::Branch => {
            text.extend_from_slice(format!("Item Count: {}\n\n", page.count()).as_bytes());
            for index in 0..page.count() {
                let item = page.branch_item(index).map_err(failed)?;
                let line = format!("{}: <pgid={}>\n", page_key(item.key), item.child);
                text.extend_from_slice(line.as_bytes());
            }
            text.push(b'\n');
        }
        PageKind::Freelist => {
            let ids = page.free_ids().map_err(failed)?;
            let head = format!("Item Count: {}\nOverflow: {}\n\n", ids.len(), page.overflow());
            text.extend_from_slice(head.as_bytes());
            ids.iter().for_each(|id| text.extend_from_slice(format!("{id}\n").as_bytes()));
            text.push(b'\n');
        }
        PageKind::Unknown(_) => {}
    }
    Ok(text)
}

/// Root and sequence of a bucket, from its entry.
fn bucket_text(value: &[u8]) -> String {
    let word = |at: usize| {
        value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    };
    format!("<pgid={},seq={}>", word(0), word(8))
}

pub(super) fn page_item(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let (page_id, item_id) = (number(&call.args[1])?, number(&call.args[2])?);
    let (key_only, value_only) = (call.flags.bool("key-only"), call.flags.bool("value-only"));
    if key_only && value_only {
        return Err(Failure::new("the --key-only or --value-only flag may be set, but not both"));
    }
    let page = read(&file(&call.args[0])?, page_id)?;
    // bbolt takes the lower sixteen bits.
    let index = item_id as u16;
    if index >= page.count() {
        return Err(Failure::new(format!(
            "leafPageElement: expected item index less than {}, but got {index}",
            page.count()
        )));
    }
    if page.kind() != PageKind::Leaf {
        return Err(Failure::new(format!(
            "leafPageElement: expected page type of 'leaf', but got '{}'",
            kind_name(page.kind())
        )));
    }
    let item = page.leaf_item(index).map_err(failed)?;
    let format = call.flags.text("format");
    for (bytes, wanted) in [(item.key, !value_only), (item.value, !key_only)] {
        if wanted {
            out.write_all(&format_bytes(bytes, format)?).map_err(unwritten)?;
            print(out, "\n")?;
        }
    }
    Ok(())
}

pub(super) fn dump(call: &Call<Run>, out: &mut dyn Write) -> Result<(), Failure> {
    let ids = numbers(&call.args[1..])?;
    if ids.is_empty() {
        return Err(Failure::new("page id required"));
    }
    let file = Pages::open(&*disk(), check_source(&call.args[0])?).map_err(failed)?;
    for (place, id) in ids.iter().enumerate() {
        if place > 0 {
            print(out, SEPARATOR)?;
        }
        let bytes = file.bytes(*id).map_err(failed)?.ok_or_else(|| Failure::new("EOF"))?;
        print(out, &dump_text(&bytes, id * file.page_size()))?;
    }
    Ok(())
}

/// Lines of bytes in hex; lines that repeat the one before are a single star.
fn dump_text(bytes: &[u8], offset: u64) -> String {
    let lines: Vec<&[u8]> = bytes.chunks(LINE_BYTES).collect();
    let mut text = String::new();
    let mut skipped = false;
    for (number, line) in lines.iter().enumerate() {
        let at = offset + (number * LINE_BYTES) as u64;
        let is_last = number + 1 == lines.len();
        if number > 0 && *line == lines[number - 1] && !is_last {
            if !std::mem::replace(&mut skipped, true) {
                text.push_str(&format!("{at:07x} *\n"));
            }
            continue;
        }
        let words: Vec<String> = line.chunks(2).map(hex).collect();
        text.push_str(&format!("{at:07x} {}\n", words.join(" ")));
        skipped = false;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_leave_repetitions_out() {
        let mut bytes = vec![0; 64];
        bytes[0] = 0xed;
        assert_eq!(
            dump_text(&bytes, 0x1000),
            "0001000 ed00 0000 0000 0000 0000 0000 0000 0000\n\
             0001010 0000 0000 0000 0000 0000 0000 0000 0000\n\
             0001020 *\n\
             0001030 0000 0000 0000 0000 0000 0000 0000 0000\n\n"
        );
    }

    #[test]
    fn numbers_are_gos() {
        assert_eq!(number("7"), Ok(7));
        assert_eq!(number("x").unwrap_err().text, "strconv.ParseUint: parsing \"x\": invalid syntax");
        assert!(number("99999999999999999999").unwrap_err().text.ends_with("value out of range"));
        assert!(number("+1").is_err());
    }
}
