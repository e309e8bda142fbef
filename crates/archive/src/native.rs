//! Data sets as parts of `application/dicom+xml` (PS3.18 section 8.7.3.2.1, PS3.19 section A.1). They are made of what is told as DICOM
//! JSON, one at a time, so that memory does not grow with a series.

use axum::response::Response;
use bytes::Bytes;
use domain::{image::Instance, port::StorageError};
use futures::{Stream, StreamExt as _, future, stream};
use gate::Problem;
use imaging::xml;
use serde_json::{Map, Value};

use crate::{accept::DICOM_XML, multipart::Part, retrieve::multipart_answer};

/// An answer of described data sets, each with the address where it can be had.
///
/// # Errors
/// When the first one cannot be had.
pub(crate) async fn answer(
    described: impl Stream<Item = Result<(String, Map<String, Value>), StorageError>> + Send + 'static,
) -> Result<Response, Problem> {
    let parts = described.map(|described| match described {
        Ok((location, data_set)) => Ok(part(location, &data_set)),
        Err(error) => Err(error.into()),
    });
    multipart_answer(DICOM_XML, parts).await
}

/// What was written as DICOM JSON, taken apart again.
pub(crate) fn parsed(instance: &Instance, written: &[u8]) -> Result<Map<String, Value>, StorageError> {
    // It was written a moment ago.
    serde_json::from_slice(written).map_err(|error| {
        tracing::error!(sha256 = %instance.file_sha256, error = &error as &dyn std::error::Error, "metadata are no JSON");
        StorageError::Corrupt(instance.object.key.clone())
    })
}

fn part(location: String, data_set: &Map<String, Value>) -> Part {
    let bytes = Bytes::from(xml::native(data_set));
    let count = bytes.len() as u64;
    let content = stream::once(future::ready(Ok(bytes))).boxed();
    Part { media_type: DICOM_XML.to_owned(), location, bytes: Some(count), content }
}
