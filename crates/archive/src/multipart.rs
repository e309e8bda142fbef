//! Writes `multipart/related` (RFC 2387) as a stream: a part is opened when the one before it has left. Does
//! not read it.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream, stream::BoxStream};

/// The bytes of one part, in pieces.
pub(crate) type Content = BoxStream<'static, io::Result<Bytes>>;

/// One part.
pub(crate) struct Part {
    /// Its media type with parameters.
    pub(crate) media_type: String,
    /// Where it can be had alone.
    pub(crate) location: String,
    /// How many bytes it has, where that is known before they are made.
    pub(crate) bytes: Option<u64>,
    /// Its bytes.
    pub(crate) content: Content,
}

/// A boundary that cannot be foreseen, so that no content can hold it on purpose.
pub(crate) fn boundary() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// The media type of a whole; `payload` is that of its parts, with parameters.
pub(crate) fn media_type(payload: &str, boundary: &str) -> String {
    let (payload, parameters) = match payload.split_once(';') {
        Some((payload, parameters)) => (payload, format!(";{parameters}")),
        None => (payload, String::new()),
    };
    format!("multipart/related; type=\"{payload}\"{parameters}; boundary={boundary}")
}

/// The bytes of the whole. The first part stands at the very beginning: some viewers look for the boundary
/// there.
pub(crate) fn write<P: Stream<Item = io::Result<Part>> + Send + 'static>(
    boundary: &str,
    parts: P,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<P> {
    let (begin, end) = (format!("--{boundary}\r\n"), format!("--{boundary}--\r\n"));
    parts
        .map_ok(move |part| {
            let Part { media_type, location, bytes, content } = part;
            let head = [
                begin.clone(),
                format!("Content-Type: {media_type}\r\n"),
                bytes.map(|bytes| format!("Content-Length: {bytes}\r\n")).unwrap_or_default(),
                format!("Content-Location: {location}\r\n\r\n"),
            ]
            .concat();
            once(Bytes::from(head)).chain(content).chain(once(Bytes::from_static(b"\r\n")))
        })
        .try_flatten()
        .chain(once(Bytes::from(end)))
        // After an error nothing follows: an end that looks whole would hide that parts are missing.
        .scan(false, |is_broken, piece| {
            let goes_on = !std::mem::replace(is_broken, piece.is_err());
            future::ready(goes_on.then_some(piece))
        })
}

fn once(bytes: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
    stream::once(future::ready(Ok(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &'static str) -> Part {
        let content = once(Bytes::from_static(text.as_bytes())).boxed();
        Part {
            media_type: "a/b".to_owned(),
            location: "/x".to_owned(),
            bytes: Some(text.len() as u64),
            content,
        }
    }

    async fn written(parts: Vec<io::Result<Part>>) -> (String, bool) {
        let pieces: Vec<io::Result<Bytes>> = write("B", stream::iter(parts)).collect().await;
        let is_broken = pieces.iter().any(Result::is_err);
        let bytes: Vec<u8> = pieces.into_iter().filter_map(Result::ok).flatten().collect();
        (String::from_utf8(bytes).unwrap(), is_broken)
    }

    #[tokio::test]
    async fn parts_stand_between_boundaries() {
        let head = "Content-Type: a/b\r\nContent-Length: 3\r\nContent-Location: /x\r\n\r\n";
        let expected = format!("--B\r\n{head}one\r\n--B\r\n{head}two\r\n--B--\r\n");
        assert_eq!(written(vec![Ok(part("one")), Ok(part("two"))]).await, (expected, false));
    }

    #[tokio::test]
    async fn a_broken_body_does_not_look_whole() {
        let (text, is_broken) =
            written(vec![Ok(part("one")), Err(io::Error::other("gone")), Ok(part("two"))]).await;
        assert!(is_broken && !text.contains("--B--") && !text.contains("two"), "{text}");
    }

    #[test]
    fn the_payload_is_quoted() {
        let whole = media_type("image/jls; transfer-syntax=1.2", "B");
        assert_eq!(whole, "multipart/related; type=\"image/jls\"; transfer-syntax=1.2; boundary=B");
    }
}
