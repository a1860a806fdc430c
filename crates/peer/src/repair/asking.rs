//! Asking the others for what was lost, before this member runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::TE};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use node::{Donors, EntryName, Kin, Release};
use telemetry::line;
use tokio::{
    runtime::{self, Runtime},
    time::{sleep, timeout},
};
use types::raft::Entry;
use vfs::{Disk, OpenMode};

use super::{ANSWER_DATA_MAX, ANSWER_SLACK, DATABASE, ENTRIES, NAMES_MAX, answered, question};
use crate::{
    compat::{CLUSTER_ID, CLUSTER_VERSION_MIN, MIN_CLUSTER_VERSION, SERVER_FROM, SERVER_VERSION},
    config::TlsSource,
    dial::{Dialer, Link, refusal},
    incoming::compare,
    join,
    pipeline::body_of,
    urls::Url,
};

/// Between two rounds of asking everybody.
const PAUSE: Duration = Duration::from_secs(1);
/// A member that brings nothing for this long is left.
const SILENCE: Duration = Duration::from_secs(30);

/// The way to members that may have what this one has lost.
#[derive(Clone)]
pub struct RepairSource {
    /// As for messages between members.
    pub tls: Option<TlsSource>,
    /// How long to wait for a connection.
    pub dial_timeout: Duration,
    /// How long to ask again those who cannot be reached, or have too little yet.
    pub patience: Duration,
    /// What this member is to the others.
    pub release: Release,
    /// Where databases are written.
    pub disk: Arc<dyn Disk>,
}

impl fmt::Debug for RepairSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepairSource").finish_non_exhaustive()
    }
}

/// What came of asking one member.
enum Asked<T> {
    Got(T),
    /// Worth asking again.
    NotNow(String),
    /// It cannot help.
    Never(String),
}

impl Donors for RepairSource {
    fn entries(&self, kin: &Kin, named: &[EntryName]) -> Result<Vec<Entry>, String> {
        let mut missing: BTreeSet<EntryName> = named.iter().copied().collect();
        let mut found = BTreeMap::new();
        let asked = self.everybody(kin, |asker, url| {
            let got = asker.entries_of(url, &mut missing, &mut found);
            match got {
                Ok(()) if missing.is_empty() => Asked::Got(()),
                Ok(()) => Asked::Never(format!("it lacks {} of the entries", missing.len())),
                Err(failure) => failure,
            }
        });
        // Some are better than none: what can be mended with them is.
        if found.is_empty() { asked.map(|()| Vec::new()) } else { Ok(found.into_values().collect()) }
    }

    fn database(
        &self,
        kin: &Kin,
        to: &Path,
        judge: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        self.everybody(kin, |asker, url| {
            let got = asker.database_of(url, &*self.disk, to);
            let taken = got.and_then(|()| judge().map_err(Asked::NotNow));
            match taken {
                Ok(()) => Asked::Got(()),
                Err(failure) => {
                    // The next start removes it otherwise.
                    let _ = self.disk.remove_file(to);
                    failure
                }
            }
        })
    }
}

impl RepairSource {
    /// Asks one URL after the other, in rounds, until one has given, all have said that they cannot, or it takes too long.
    fn everybody<T>(
        &self,
        kin: &Kin,
        mut ask: impl FnMut(&Asker<'_>, &Url) -> Asked<T>,
    ) -> Result<T, String> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("nobody can be asked: {error}"))?;
        // Timeouts are made outside of what runs on it, too.
        let _inside = runtime.enter();
        let dialer = Dialer { tls: self.tls.clone(), timeout: self.dial_timeout };
        let asker = Asker { runtime: &runtime, dialer: &dialer, kin, release: self.release };
        let begun = Instant::now();
        loop {
            let mut told = Vec::new();
            let mut again = false;
            for url in asker.others() {
                let why = match ask(&asker, &url) {
                    Asked::Got(got) => return Ok(got),
                    Asked::Never(why) => why,
                    Asked::NotNow(why) => {
                        again = true;
                        why
                    }
                };
                line!(Warn, "a member does not give what this one has lost",
                    "remote-peer-url" => url.to_string(), "error" => why.clone());
                told.push(format!("{url}: {why}"));
            }
            if told.is_empty() {
                return Err("no other member is known".into());
            }
            if !again || begun.elapsed() > self.patience {
                return Err(told.join("; "));
            }
            runtime.block_on(sleep(PAUSE));
        }
    }
}

struct Asker<'a> {
    runtime: &'a Runtime,
    dialer: &'a Dialer,
    kin: &'a Kin,
    release: Release,
}

impl Asker<'_> {
    /// Where others listen: what is known here, and what the first of them that answers says.
    fn others(&self) -> Vec<Url> {
        let known: Vec<Url> = self.kin.urls.iter().filter_map(|text| Url::parse(text)).collect();
        let told = known.iter().find_map(|url| {
            let asked = timeout(self.dialer.timeout, join::ask(self.dialer, url));
            let cluster = self.runtime.block_on(async { asked.await.ok()?.ok() })?;
            (cluster.id == self.kin.cluster).then_some(cluster.members)
        });
        let Some(members) = told else { return known };
        let others = members.iter().filter(|member| member.id != self.kin.member);
        others.flat_map(|member| &member.urls).filter_map(|text| Url::parse(text)).collect()
    }

    fn send<T>(
        &self,
        link: &mut Option<Link>,
        url: &Url,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>, Asked<T>> {
        let cannot = |error: io::Error| Asked::NotNow(error.to_string());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(SERVER_FROM, self.kin.member.to_string())
            .header(SERVER_VERSION, self.release.text())
            .header(MIN_CLUSTER_VERSION, CLUSTER_VERSION_MIN)
            .header(CLUSTER_ID, self.kin.cluster.to_string())
            // Without this word there is no trailer.
            .header(TE, HeaderValue::from_static("trailers"))
            .body(body_of(body))
            .map_err(|error| cannot(io::Error::other(error)))?;
        let asked = timeout(SILENCE, self.dialer.request(link, url, request));
        let response = match self.runtime.block_on(asked) {
            Ok(response) => response.map_err(cannot)?,
            Err(_) => return Err(Asked::NotNow("it does not answer".into())),
        };
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let text = self.runtime.block_on(refusal(response.into_body()));
        Err(match status {
            StatusCode::NOT_FOUND => Asked::Never("it is a member that cannot help, as etcd's cannot".into()),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::FORBIDDEN => Asked::NotNow(text),
            _ => Asked::Never(format!("it answers {status}: {text}")),
        })
    }

    /// Takes what the member at `url` has out of `missing` into `found`.
    fn entries_of<T>(
        &self,
        url: &Url,
        missing: &mut BTreeSet<EntryName>,
        found: &mut BTreeMap<EntryName, Entry>,
    ) -> Result<(), Asked<T>> {
        let mut link = None;
        let mut unasked: Vec<EntryName> = missing.iter().copied().collect();
        while !unasked.is_empty() {
            let names = &unasked[..unasked.len().min(NAMES_MAX)];
            let response = self.send(&mut link, url, Method::POST, ENTRIES, question(names))?;
            let body = Limited::new(response.into_body(), ANSWER_DATA_MAX + ANSWER_SLACK).collect();
            let body = self.runtime.block_on(async { timeout(SILENCE, body).await });
            let body = match body {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(error)) => return Err(Asked::NotNow(error.to_string())),
                Err(_) => return Err(Asked::NotNow("it falls silent".into())),
            };
            let entries = answered(body).map_err(Asked::Never)?;
            let before = missing.len();
            for entry in entries {
                let name = EntryName::of(&entry);
                if missing.remove(&name) {
                    found.insert(name, entry);
                }
            }
            if missing.len() == before {
                // It has none of these.
                unasked.drain(..unasked.len().min(NAMES_MAX));
            } else {
                unasked.retain(|name| missing.contains(name));
            }
        }
        Ok(())
    }

    /// Writes the database of the member at `url` to a file.
    fn database_of<T>(&self, url: &Url, disk: &dyn Disk, to: &Path) -> Result<(), Asked<T>> {
        let mut link = None;
        let mut body = self.send(&mut link, url, Method::GET, DATABASE, String::new())?.into_body();
        let received = self.runtime.block_on(async {
            let file = disk.open(to, OpenMode::Create)?;
            file.set_len(0)?;
            let (mut len, mut sum, mut compared) = (0, 0, false);
            while let Some(frame) =
                timeout(SILENCE, body.frame()).await.map_err(|_| io::ErrorKind::TimedOut)?
            {
                match frame.map_err(io::Error::other)?.into_data() {
                    Ok(bytes) => {
                        file.write_all_at(&bytes, len)?;
                        len += bytes.len() as u64;
                        sum = crc32c::crc32c_append(sum, &bytes);
                    }
                    Err(frame) => {
                        compare(frame.trailers_ref(), sum)?;
                        compared = true;
                    }
                }
            }
            if !compared || len == 0 {
                return Err(io::Error::other("it ends without a checksum"));
            }
            file.sync_data()
        });
        received.map_err(|error| Asked::NotNow(error.to_string()))
    }
}
