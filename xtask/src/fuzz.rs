//! Builds the targets of `tests/fuzz` with coverage and runs each under libFuzzer.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    instrument,
    report::{self, Figures},
};

/// As much stack as the product's threads have (`proto::STACK_BYTES`).
const STACK_BYTES: u64 = 64 << 20;
/// A single input that takes longer is a hang.
const HANG_SECONDS: u32 = 10;

/// What the command line says.
pub(crate) struct Options {
    seconds: u32,
    target: Option<String>,
    write: bool,
}

impl Options {
    /// `None` when it cannot be understood.
    pub(crate) fn parse(args: &[String]) -> Option<Options> {
        let mut options = Options { seconds: 60, target: None, write: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => options.seconds = args.next()?.parse().ok()?,
                "--target" => options.target = Some(args.next()?.clone()),
                "--write" => options.write = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

struct Target {
    name: String,
    len_max: String,
    what: String,
}

/// Runs the targets; whether nothing was found.
pub(crate) fn run(options: Options) -> Result<bool> {
    let root = root()?;
    let program = build(&root)?;
    let targets: Vec<Target> = targets(&program)?
        .into_iter()
        .filter(|target| options.target.as_ref().is_none_or(|name| *name == target.name))
        .collect();
    ensure!(!targets.is_empty(), "there is no such target");
    let stack = getrlimit(Resource::Stack);
    let enough = stack.maximum.map_or(STACK_BYTES, |maximum| maximum.min(STACK_BYTES));
    setrlimit(Resource::Stack, Rlimit { current: Some(enough), ..stack })?;
    let mut all = Vec::new();
    for target in &targets {
        let figures = fuzz(&root, &program, target, options.seconds)?;
        println!("{}", report::row(&target.name, &target.what, &figures));
        all.push((target, figures));
    }
    let rows: Vec<String> =
        all.iter().map(|(target, figures)| report::row(&target.name, &target.what, figures)).collect();
    if options.write {
        report::write(&root.join("RELIABILITY.md"), options.seconds, &rows, options.target.is_none())?;
    }
    Ok(all.iter().all(|(_, figures)| figures.finding.is_none()))
}

fn root() -> Result<PathBuf> {
    let here = env::var("CARGO_MANIFEST_DIR").context("run this as cargo xtask")?;
    Ok(Path::new(&here).parent().context("xtask is in the workspace")?.to_owned())
}

/// The program.
fn build(root: &Path) -> Result<PathBuf> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--package", "fuzz", "--features", "libfuzzer", "--bin", "fuzz-libfuzzer"])
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(instrument::MARK, "1")
        .status()?;
    ensure!(status.success(), "the targets cannot be built");
    let target = env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), |dir| root.join(dir));
    Ok(target.join("debug/fuzz-libfuzzer"))
}

fn targets(program: &Path) -> Result<Vec<Target>> {
    let output = Command::new(program).env("FUZZ_COMMAND", "list").output()?;
    ensure!(output.status.success(), "the targets cannot be listed");
    let read = |line: &str| {
        let mut columns = line.splitn(3, '\t').map(str::to_owned);
        let (name, len_max, what) = (columns.next()?, columns.next()?, columns.next()?);
        Some(Target { name, len_max, what })
    };
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| read(line).context("a line of the list is no target"))
        .collect()
}

fn fuzz(root: &Path, program: &Path, target: &Target, seconds: u32) -> Result<Figures> {
    let dir = root.join("target/fuzz").join(&target.name);
    let (corpus, findings) = (dir.join("corpus"), dir.join("findings"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let seeded = Command::new(program)
        .env("FUZZ_COMMAND", "seeds")
        .env("FUZZ_TARGET", &target.name)
        .env("FUZZ_DIR", &corpus)
        .status()?;
    ensure!(seeded.success(), "{} has no seeds", target.name);
    let log = dir.join("log");
    let status = Command::new(program)
        .env("FUZZ_TARGET", &target.name)
        .arg(&corpus)
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-max_len={}", target.len_max))
        .args(["-print_final_stats=1", "-rss_limit_mb=4096", "-use_value_profile=0"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .status()?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let figures = Figures::of(&text, status.success());
    if figures.executions == 0 && figures.finding.is_none() {
        bail!("{} did not run: see {}", target.name, log.display());
    }
    if figures.finding.is_some() {
        eprintln!("{}: a finding, see {}", target.name, log.display());
    }
    Ok(figures)
}
