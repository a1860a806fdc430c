//! What `cargo xtask fuzz` asks of the program beside fuzzing, by `FUZZ_COMMAND`: `list` prints a line per target, `seeds`
//! writes those of `FUZZ_TARGET` to the directory `FUZZ_DIR`.

use std::{env, fs, io, path::Path, process};

/// Does what is asked for and ends the process; returns when there is nothing but to fuzz.
pub fn obey() {
    let done = match env::var("FUZZ_COMMAND").as_deref() {
        Ok("list") => list(),
        Ok("seeds") => seeds(),
        _ => return,
    };
    if let Err(error) = done {
        eprintln!("{error}");
        process::exit(1);
    }
    process::exit(0);
}

#[expect(clippy::unnecessary_wraps, reason = "a command may fail")]
fn list() -> io::Result<()> {
    for target in crate::TARGETS {
        println!("{}\t{}\t{}", target.name, target.len_max, target.what);
    }
    Ok(())
}

fn seeds() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    let target =
        crate::target(&variable("FUZZ_TARGET")?).ok_or_else(|| io::Error::other("no such target"))?;
    let dir = variable("FUZZ_DIR")?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(Path::new(&dir).join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
