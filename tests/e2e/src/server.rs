//! A server as a process: started on ports that the system picks, polled until it is healthy, stopped at the end.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{PATIENCE, binary, client::Client, exposition::Page, http1};

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(2);
/// Lines of a log that are shown after a failure.
const LOG_LINES: usize = 40;
/// Announced by every server, so that ids are the same in all of them. Nobody connects to it.
pub const PEER_URL: &str = "http://127.0.0.1:2380";
/// Name of every server.
pub const NAME: &str = "e2e";

/// How a program that was run to its end has ended.
#[derive(Debug)]
pub struct Exit {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Exit {
    /// Lines of a JSON log on standard error.
    pub fn log(&self) -> Vec<serde_json::Value> {
        json_lines(&self.stderr)
    }

    /// The fatal line of a JSON log.
    ///
    /// # Panics
    /// When there is none.
    pub fn fatal(&self) -> serde_json::Value {
        let found = self.log().into_iter().find(|line| line["level"] == "fatal");
        found.unwrap_or_else(|| panic!("no fatal line: {self:?}"))
    }
}

/// The command of a server without its flags, in a clean environment.
pub fn command() -> Command {
    let mut command = Command::new(binary::mainstay());
    if !binary::is_etcd() {
        command.arg("server");
    }
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a server with `flags` until it ends by itself.
///
/// # Panics
/// When it does not, in time.
pub fn run(flags: &[&str], environment: &[(&str, &str)]) -> Exit {
    run_command(command().args(flags).envs(environment.iter().copied()))
}

/// Runs a command until it ends by itself, in an empty directory.
///
/// # Panics
/// When it does not, in time.
pub fn run_command(command: &mut Command) -> Exit {
    let dir = TempDir::new().expect("a directory for the output");
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let create = |path: &Path| fs::File::create(path).expect("a file for the output");
    command.current_dir(dir.path());
    let mut child = command.stdout(create(&out)).stderr(create(&err)).spawn().expect("the program starts");
    let status = wait(&mut child);
    let read =
        |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("the output is there")).into_owned();
    let (stdout, stderr) = (read(&out), read(&err));
    match status {
        Some(status) => Exit { code: status.code(), stdout, stderr },
        None => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} goes on:\n{stderr}")
        }
    }
}

/// Waits, at most [`PATIENCE`].
fn wait(child: &mut Child) -> Option<ExitStatus> {
    poll(|| child.try_wait().expect("a child can be waited for"))
}

/// Asks again and again until there is something, at most for [`PATIENCE`].
pub fn poll<T>(ask: impl FnMut() -> Option<T>) -> Option<T> {
    poll_for(PATIENCE, ask)
}

/// Asks again and again until there is something, at most for `patience`.
pub fn poll_for<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match ask() {
            None if begun.elapsed() < patience => thread::sleep(POLL),
            answer => return answer,
        }
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listeners {
    /// For gRPC.
    pub grpc: Option<SocketAddr>,
    /// For HTTP/1.1; the same, unless they were put apart.
    pub http: Option<SocketAddr>,
    /// For metrics and health alone.
    pub metrics: Option<SocketAddr>,
    /// For members.
    pub peer: Option<SocketAddr>,
}

/// A running server. Killed when dropped; the end of its log is shown when the test has failed.
pub struct Server {
    child: Child,
    log: PathBuf,
    listeners: Listeners,
    data: PathBuf,
    /// Holds the log, and the data unless it is elsewhere.
    _dir: TempDir,
}

impl Server {
    /// Starts a server on an empty directory.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub fn start(flags: &[&str]) -> Server {
        let dir = TempDir::new().expect("a directory");
        let data = dir.path().join("data");
        Server::spawn(dir, data, flags, &[]).unwrap_or_else(|exit| panic!("does not start: {exit:?}"))
    }

    /// Starts a server on `data`.
    ///
    /// # Errors
    /// How it ended.
    pub fn start_on(data: &Path, flags: &[&str]) -> Result<Server, Exit> {
        Server::spawn(TempDir::new().expect("a directory"), data.to_owned(), flags, &[])
    }

    /// As [`Server::start`], for a server that cannot be asked in the clear: it only has to say that it serves.
    ///
    /// # Errors
    /// How it ended.
    pub fn start_unasked(flags: &[&str]) -> Result<Server, Exit> {
        let dir = TempDir::new().expect("a directory");
        let data = dir.path().join("data");
        let mut server = Server::launch(dir, data, flags, &[]);
        match server.wait_said() {
            Some(code) => Err(Exit { code, stdout: String::new(), stderr: server.log() }),
            None => Ok(server),
        }
    }

    /// As [`Server::start`], with environment variables.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub fn start_with(flags: &[&str], environment: &[(&str, &str)]) -> Server {
        let dir = TempDir::new().expect("a directory");
        let data = dir.path().join("data");
        Server::spawn(dir, data, flags, environment).unwrap_or_else(|exit| panic!("does not start: {exit:?}"))
    }

    /// The server that tests share while any of them holds it.
    pub fn shared() -> Arc<Server> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Server::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    }

    fn spawn(
        dir: TempDir,
        data: PathBuf,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Server, Exit> {
        let mut server = Server::launch(dir, data, flags, environment);
        if let Some(code) = server.wait_said() {
            return Err(Exit { code, stdout: String::new(), stderr: server.log() });
        }
        server.wait_healthy();
        Ok(server)
    }

    /// Starts the process and waits for nothing.
    pub(crate) fn launch(
        dir: TempDir,
        data: PathBuf,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Server {
        let log = dir.path().join("log");
        let file = fs::File::create(&log).expect("a file for the log");
        let child = command()
            .args(base_flags(&data, flags))
            .args(flags)
            .envs(environment.iter().copied())
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Server { child, log, listeners: Listeners::default(), data, _dir: dir }
    }

    /// Waits until it serves; gives the exit code if it ended instead.
    pub(crate) fn wait_ready(&mut self) -> Option<Option<i32>> {
        let ended = self.wait_said();
        if ended.is_none() {
            self.wait_healthy();
        }
        ended
    }

    fn wait_healthy(&self) {
        let healthy = poll(|| self.get("/health").text().contains(r#""health":"true""#).then_some(()));
        assert!(healthy.is_some(), "not healthy in time");
    }

    /// Waits until it says that it serves; gives the exit code if it ended instead.
    fn wait_said(&mut self) -> Option<Option<i32>> {
        let ended = poll(|| {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Some(Some(status.code()));
            }
            self.listeners = listeners(&self.log_lines());
            let said = self.log().contains("ready to serve client requests");
            (said && self.listeners.grpc.is_some() && self.listeners.http.is_some()).then_some(None)
        });
        ended.expect("ready in time")
    }

    /// Reads from its log where it listens, of a server that need not be ready. `false` when it does not, for clients.
    pub(crate) fn looks_where_it_listens(&mut self) -> bool {
        self.listeners = listeners(&self.log_lines());
        self.listeners.grpc.is_some()
    }

    /// Where it listens.
    pub fn listeners(&self) -> Listeners {
        self.listeners
    }

    /// Where clients connect.
    ///
    /// # Panics
    /// When it listens nowhere.
    pub fn address(&self) -> SocketAddr {
        self.listeners.grpc.expect("a running server listens")
    }

    /// A new gRPC connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// `GET path` from the listener that speaks HTTP.
    ///
    /// # Panics
    /// When no answer comes.
    pub fn get(&self, path: &str) -> http1::Answer {
        let http = self.listeners.http.expect("a running server listens");
        http1::get(http, path).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// The metrics page.
    pub fn metrics(&self) -> Page {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200);
        Page::parse(answer.text())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its log, line by line.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        json_lines(&self.log())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name (`TERM`).
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it does not, in time.
    pub fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child).expect("the server ends")
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, and waits.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("log of the server:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
    }
}

/// Flags that every server gets, less those that `flags` gives itself.
fn base_flags(data: &Path, flags: &[&str]) -> Vec<String> {
    let base = [
        format!("--name={NAME}"),
        format!("--data-dir={}", data.display()),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        format!("--initial-advertise-peer-urls={PEER_URL}"),
        format!("--initial-cluster={NAME}={PEER_URL}"),
    ];
    let discovers = flags.iter().any(|flag| flag.starts_with("--discovery-"));
    let given = |flag: &String| {
        let name = flag.split('=').next().unwrap_or_default();
        discovers && name == "--initial-cluster" || flags.iter().any(|f| f.split('=').next() == Some(name))
    };
    base.into_iter().filter(|flag| !given(flag)).collect()
}

/// What the lines that announce listeners say. etcd names the port of its metrics listener as it was asked for.
fn listeners(log: &[serde_json::Value]) -> Listeners {
    let mut found = Listeners::default();
    for line in log {
        let text = line["msg"].as_str().unwrap_or_default();
        let address = line["address"].as_str().unwrap_or_default();
        let address = address.trim_start_matches("http://").trim_start_matches("https://");
        let Some(address) = address.parse::<SocketAddr>().ok().filter(|address| address.port() != 0) else {
            continue;
        };
        match line["traffic"].as_str().unwrap_or_default() {
            "grpc" => found.grpc = Some(address),
            "http" => found.http = Some(address),
            "grpc+http" => (found.grpc, found.http) = (Some(address), Some(address)),
            _ if text == "serving metrics" => found.metrics = Some(address),
            _ if text == "serving peer traffic" => found.peer = Some(address),
            _ => {}
        }
    }
    found
}

fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
