//! Storage commitment over DICOMweb (PS3.18 section 13): `commitment-requests/{transactionUID}` in DICOM JSON.
//! A request is always answered with 202 and the result asked for: reading objects again takes its time.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use dimse::SopReference;
use domain::{
    commitment::{Asker, Commitment, REFERENCES_MAX},
    id::{CentreId, CommitmentId},
    port::{
        Catalog, Clock,
        catalog::{CommitmentOutcome, NewCommitment},
    },
    uid::TransactionUid,
};
use gate::{Caller, Problem};
use serde_json::{Value, json};

use super::references;

/// Largest request, in bytes: as many references as are taken, in generous JSON.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Seconds after which a result may be asked for.
const RETRY_AFTER_SECONDS: &str = "1";
/// Seconds after which a client that was told to come back may do so.
const BUSY_SECONDS: u32 = 60;
const DICOM_JSON: &str = "application/dicom+json";

/// What the service needs.
#[derive(Clone)]
pub struct CommitmentRequests {
    /// What is known.
    pub catalog: Arc<dyn Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl CommitmentRequests {
    /// The routes, to be merged into those of `/dicomweb`.
    pub fn router(self) -> Router {
        let own = get(result).post(request);
        let of_centre = get(result_of).post(request_of);
        Router::new()
            .route("/dicomweb/commitment-requests/{transaction}", own)
            .route("/dicomweb/centres/{centre}/commitment-requests/{transaction}", of_centre)
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(self)
    }
}

async fn request(
    State(service): State<CommitmentRequests>,
    caller: Caller,
    Path(transaction): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    service.ask(&caller, None, &transaction, &headers, &body).await.unwrap_or_else(Problem::into_response)
}

async fn request_of(
    State(service): State<CommitmentRequests>,
    caller: Caller,
    Path((centre, transaction)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = service.ask(&caller, Some(&centre), &transaction, &headers, &body).await;
    asked.unwrap_or_else(Problem::into_response)
}

async fn result(
    State(service): State<CommitmentRequests>,
    caller: Caller,
    Path(transaction): Path<String>,
) -> Response {
    service.result(&caller, None, &transaction).await.unwrap_or_else(Problem::into_response)
}

async fn result_of(
    State(service): State<CommitmentRequests>,
    caller: Caller,
    Path((centre, transaction)): Path<(String, String)>,
) -> Response {
    service.result(&caller, Some(&centre), &transaction).await.unwrap_or_else(Problem::into_response)
}

impl CommitmentRequests {
    async fn ask(
        &self,
        caller: &Caller,
        centre: Option<&str>,
        transaction: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, Problem> {
        let (centre, transaction) = target(caller, centre, transaction)?;
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if ![DICOM_JSON, "application/json"].contains(&media_type) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                "Commitment requests are taken as application/dicom+json.",
            ));
        }
        let wire = read(body).map_err(Problem::bad_request)?;
        let references = references(&wire)
            .ok_or_else(|| Problem::bad_request("An identifier of the request is not a UID."))?;
        let new = NewCommitment {
            id: CommitmentId::fresh(),
            centre,
            transaction,
            by: Asker::Web,
            actor: caller.actor(),
            references,
        };
        let kept = self.catalog.request_commitment(&new, self.clock.now()).await;
        match kept.map_err(|error| Problem::unavailable(&error))? {
            CommitmentOutcome::Accepted(_) | CommitmentOutcome::Repeated(_) => Ok(later()),
            CommitmentOutcome::TooMany => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_commitments",
                "Too many commitment requests wait.",
            )
            .next_step("Ask again later.")
            .retry_after(BUSY_SECONDS)),
            CommitmentOutcome::InUse => Err(Problem::new(
                StatusCode::CONFLICT,
                "transaction_in_use",
                "This Transaction UID stands for another request.",
            )
            .next_step("Ask for its result with GET, or use a fresh UID.")),
        }
    }

    async fn result(
        &self,
        caller: &Caller,
        centre: Option<&str>,
        transaction: &str,
    ) -> Result<Response, Problem> {
        let (centre, transaction) = target(caller, centre, transaction)?;
        let known = self.catalog.commitment_of_transaction(&centre, &transaction).await;
        let known = known.map_err(|error| Problem::unavailable(&error))?.ok_or_else(Problem::unknown)?;
        if known.failures.is_none() {
            return Ok(later());
        }
        let content_type = [(header::CONTENT_TYPE, DICOM_JSON)];
        Ok((StatusCode::OK, content_type, response_module(&known).to_string()).into_response())
    }
}

fn target(
    caller: &Caller,
    centre: Option<&str>,
    transaction: &str,
) -> Result<(CentreId, TransactionUid), Problem> {
    let centre = match centre {
        Some(text) => {
            CentreId::parse(text).ok().filter(|centre| caller.may_see(centre)).ok_or_else(Problem::unknown)?
        }
        None => caller.centre().cloned().ok_or_else(|| {
            Problem::bad_request("The address does not say for which centre.")
                .next_step("Use a centre's token, or /dicomweb/centres/CENTRE/commitment-requests/UID.")
        })?,
    };
    let transaction =
        TransactionUid::parse(transaction).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok((centre, transaction))
}

fn later() -> Response {
    (StatusCode::ACCEPTED, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)]).into_response()
}

/// Storage Commitment Request Module (PS3.18 table J.1-1) with a Referenced SOP Sequence.
fn read(body: &[u8]) -> Result<Vec<SopReference>, &'static str> {
    let module: Value = serde_json::from_slice(body).map_err(|_| "The request is not JSON.")?;
    let Some(items) = module.pointer("/00081199/Value").and_then(Value::as_array) else {
        return Err(
            "The request holds no Referenced SOP Sequence (0008,1199), which is how objects are named here.",
        );
    };
    if items.is_empty() || items.len() > REFERENCES_MAX {
        return Err("The request names no object, or more than 50000.");
    }
    let text = |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let reference = |item: &Value| {
        Some(SopReference {
            sop_class_uid: text(item, "/00081150/Value/0")?,
            sop_instance_uid: text(item, "/00081155/Value/0")?,
        })
    };
    let references: Option<Vec<_>> = items.iter().map(reference).collect();
    references.ok_or("An item of the Referenced SOP Sequence lacks its class or instance.")
}

/// Storage Commitment Response Module (PS3.18 table J.2-1).
fn response_module(known: &Commitment) -> Value {
    let reference = |class: &str, instance: &str| {
        json!({
            "00081150": {"vr": "UI", "Value": [class]},
            "00081155": {"vr": "UI", "Value": [instance]},
        })
    };
    let report = super::report(known);
    let mut module = json!({});
    if !report.committed.is_empty() {
        let items = report.committed.iter().map(|one| reference(&one.sop_class_uid, &one.sop_instance_uid));
        module["00081199"] = json!({"vr": "SQ", "Value": items.collect::<Vec<_>>()});
    }
    if !report.failed.is_empty() {
        let items = report.failed.iter().map(|failed| {
            let mut item = reference(&failed.reference.sop_class_uid, &failed.reference.sop_instance_uid);
            item["00081197"] = json!({"vr": "US", "Value": [failed.reason]});
            item
        });
        module["00081198"] = json!({"vr": "SQ", "Value": items.collect::<Vec<_>>()});
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let item = r#"{"00081150":{"vr":"UI","Value":["1.2"]},"00081155":{"vr":"UI","Value":["1.3"]}}"#;
        let whole = |items: &str| format!(r#"{{"00081199":{{"vr":"SQ","Value":[{items}]}}}}"#);
        let read = |text: &str| read(text.as_bytes());
        assert_eq!(read(&whole(item)).unwrap().len(), 1);
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"00081199":{"vr":"SQ"}}"#,
            &whole(""),
            &whole("{}"),
            &whole(r#"{"00081150":{"vr":"UI","Value":[1]},"00081155":{"vr":"UI","Value":["1.3"]}}"#),
            &whole(&vec![item; REFERENCES_MAX + 1].join(",")),
        ] {
            assert!(read(bad).is_err());
        }
    }
}
