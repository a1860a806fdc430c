//! `/health`, `/livez` and `/readyz` (upstream: server/etcdserver/api/etcdhttp/health.go).

use http::{Method, StatusCode, request::Parts};
use proto::etcdserverpb::{AlarmType, RangeRequest};
use telemetry::log::duration;
use types::go_json::quote;

use super::{Page, TEXT, count_health, error_page, method_not_allowed, query_values, report_unhealthy};
use crate::{
    member::{Caller, Member},
    metrics::CHECKS,
    thread::Thread,
};

/// The page of `path`; `None` when it is no health page.
pub(super) async fn page<M: Member>(thread: &Thread<M>, request: &Parts, path: &str) -> Option<Page> {
    let checks = match path {
        "/health" => Vec::new(),
        _ => checks_of(path)?,
    };
    if request.method != Method::GET {
        return Some(method_not_allowed());
    }
    Some(match path {
        "/health" => health(thread, request).await,
        _ => run(thread, request, path, checks).await,
    })
}

/// Indices into [`CHECKS`] for `/TYPE` and `/TYPE/NAME`.
pub(super) fn checks_of(path: &str) -> Option<Vec<usize>> {
    let mut parts = path.strip_prefix('/')?.splitn(2, '/');
    let (kind, name) = (parts.next()?, parts.next());
    let selected: Vec<_> = (0..CHECKS.len())
        .filter(|&i| CHECKS[i].0 == kind && name.is_none_or(|name| CHECKS[i].1 == name))
        .collect();
    (!selected.is_empty()).then_some(selected)
}

async fn health<M: Member>(thread: &Thread<M>, request: &Parts) -> Page {
    let excluded = query_values(request, "exclude");
    let serializable = query_values(request, "serializable").first().is_some_and(|value| value == "true");
    let reason = unhealthy_because(thread, &excluded, serializable).await;
    count_health(thread, reason.is_none());
    match reason {
        None => super::page(StatusCode::OK, Some(TEXT), r#"{"health":"true","reason":""}"#),
        Some(reason) => {
            let output = format!(r#"{{"health":"false","reason":{}}}"#, quote(&reason));
            report_unhealthy(thread, "/health", &output);
            error_page(StatusCode::SERVICE_UNAVAILABLE, &output)
        }
    }
}

async fn unhealthy_because<M: Member>(
    thread: &Thread<M>,
    excluded: &[String],
    serializable: bool,
) -> Option<String> {
    let alarms = match thread.member.alarms().await {
        Ok(alarms) => alarms,
        Err(reason) => return Some(format!("RANGE ERROR:{reason}")),
    };
    let active = alarms
        .iter()
        .map(|alarm| AlarmType::try_from(alarm.alarm))
        .find(|kind| !kind.is_ok_and(|kind| excluded.iter().any(|name| name == kind.as_str_name())));
    match active {
        Some(Ok(kind @ (AlarmType::Nospace | AlarmType::Corrupt))) => {
            return Some(format!("ALARM {}", kind.as_str_name()));
        }
        Some(_) => return Some("ALARM UNKNOWN".into()),
        None => {}
    }
    if !serializable && !thread.member.has_leader() {
        return Some("RAFT NO LEADER".into());
    }
    read(thread, serializable).await.err().map(|text| format!("RANGE ERROR:{text}"))
}

/// Reads one key that does not exist.
async fn read<M: Member>(thread: &Thread<M>, serializable: bool) -> Result<(), String> {
    let request = RangeRequest { keys_only: true, limit: 1, serializable, ..RangeRequest::default() };
    match thread.member.range(Caller::internal(), request).await {
        Ok(_) => Ok(()),
        Err(reason) => Err(reason.to_string()),
    }
}

async fn run<M: Member>(thread: &Thread<M>, request: &Parts, path: &str, checks: Vec<usize>) -> Page {
    // Names that no check has are ignored; a single check cannot be excluded.
    let excluded = if checks.len() == 1 && path.matches('/').count() == 2 {
        Vec::new()
    } else {
        query_values(request, "exclude")
    };
    let mut details = String::new();
    let mut failed = false;
    for index in checks {
        let name = CHECKS[index].1;
        if excluded.iter().any(|excluded| excluded == name) {
            continue;
        }
        let result = check(thread, name).await;
        thread.metrics.record_check(index, result.is_ok());
        match result {
            Ok(()) => details.push_str(&format!("[+]{name} ok\n")),
            Err(error) => {
                failed = true;
                details.push_str(&format!("[-]{name} failed: {error}\n"));
            }
        }
    }
    if failed {
        report_unhealthy(thread, path, &details);
        return error_page(StatusCode::SERVICE_UNAVAILABLE, &details);
    }
    let verbose = !query_values(request, "verbose").is_empty();
    let mut page = super::page(
        StatusCode::OK,
        Some(TEXT),
        if verbose { format!("{details}ok\n") } else { "ok\n".into() },
    );
    page.headers_mut()
        .insert(http::header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    page
}

async fn check<M: Member>(thread: &Thread<M>, name: &str) -> Result<(), String> {
    match name {
        "serializable_read" => read(thread, true).await,
        // The read would wait for what the log cannot take, and then not say why.
        "linearizable_read" if let Some(stalled) = thread.member.disk_stalled() => {
            Err(format!("the disk has not finished a write of the log for {}", duration(stalled)))
        }
        "linearizable_read" => read(thread, false).await,
        "data_corruption" => {
            let alarms = thread.member.alarms().await.map_err(|reason| reason.to_string())?;
            let corrupt = alarms.iter().any(|alarm| alarm.alarm == i32::from(AlarmType::Corrupt));
            if corrupt { Err("alarm activated: CORRUPT".into()) } else { Ok(()) }
        }
        "non_learner" if thread.member.is_learner() => Err("not supported for learner".into()),
        _ => Ok(()),
    }
}
