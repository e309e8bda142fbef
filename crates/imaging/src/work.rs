//! Pixel work as messages, and the work itself: what goes between a process that needs pixels and one that may die of them. Sans I/O:
//! bytes
//! in, bytes out. Both ends are of one build, and say so first; nothing here is read from or kept on a disk.
//!
//! A message is a prefix of 16 bytes, a head in JSON that says what the body is, and the body. Lengths are checked before anything is
//! allocated by them.

use bytes::{Bytes, BytesMut};
use domain::{
    pixel::{
        PictureFormat, PixelSource, Recoded, Region, Shading, Showing, Shown, Viewport, Window,
        WindowFunction,
    },
    uid::TransferSyntaxUid,
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Target},
    guard::{GuardedHeader, HEADER_BYTES_MAX},
    picture::{self, FRAME_BYTES_MAX, PictureError},
    tree,
};

/// Which messages these are: goes up whenever they change.
pub const VERSION: u32 = 2;
/// Bytes of a prefix.
pub const PREFIX_BYTES: usize = 16;
/// Most bytes of a head.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a body: a header and a frame, or a frame.
pub const BODY_BYTES_MAX: u64 = FRAME_BYTES_MAX + (HEADER_BYTES_MAX as u64) + (1 << 20);
/// Longest reason that is told, in characters.
const WHY_CHARS_MAX: usize = 300;
/// Each message begins so.
const MARK: [u8; 4] = *b"tlpx";

/// What is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is broken: {0}")]
pub struct ProtocolError(&'static str);

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Prefix and head.
    pub head: Bytes,
    /// The body, in order.
    pub body: Vec<Bytes>,
}

/// How long the rest of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Of the head.
    pub head: usize,
    /// Of the body.
    pub body: usize,
}

impl Lengths {
    /// Reads a prefix.
    ///
    /// # Errors
    /// When it is none, or what follows is longer than it may be.
    pub fn read(prefix: &[u8; PREFIX_BYTES]) -> Result<Self, ProtocolError> {
        let (mark, rest) = prefix.split_at(4);
        let (head, body) = rest.split_at(4);
        let head = u32::from_le_bytes(head.try_into().map_err(|_| ProtocolError("its prefix is short"))?);
        let body = u64::from_le_bytes(body.try_into().map_err(|_| ProtocolError("its prefix is short"))?);
        if mark != MARK {
            return Err(ProtocolError("its mark is missing"));
        }
        if head as usize > HEAD_BYTES_MAX || body > BODY_BYTES_MAX {
            return Err(ProtocolError("it is longer than it may be"));
        }
        let body = usize::try_from(body).map_err(|_| ProtocolError("it is longer than it may be"))?;
        Ok(Self { head: head as usize, body })
    }
}

fn message(head: &impl Serialize, body: Vec<Bytes>) -> Result<Message, ProtocolError> {
    let text = serde_json::to_vec(head).map_err(|_| ProtocolError("its head cannot be written"))?;
    let length: u64 = body.iter().map(|part| part.len() as u64).sum();
    if text.len() > HEAD_BYTES_MAX || length > BODY_BYTES_MAX {
        return Err(ProtocolError("it is longer than it may be"));
    }
    let mut head = BytesMut::with_capacity(PREFIX_BYTES + text.len());
    head.extend_from_slice(&MARK);
    head.extend_from_slice(&(text.len() as u32).to_le_bytes());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&text);
    Ok(Message { head: head.freeze(), body })
}

/// What a worker says before it takes work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// What it could not forbid itself, in words; empty when it is confined.
    pub unconfined: Vec<String>,
}

impl Hello {
    /// As a message.
    ///
    /// # Errors
    /// Never for a few words.
    pub fn message(&self) -> Result<Message, ProtocolError> {
        message(self, Vec::new())
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(head: &[u8]) -> Result<Self, ProtocolError> {
        serde_json::from_slice(head).map_err(|_| ProtocolError("it is no greeting"))
    }
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// Make a picture.
    Show(PixelSource, Showing),
    /// Write a frame in another transfer syntax.
    Recode(PixelSource, Target),
}

/// What became of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// A picture.
    Shown(Shown),
    /// A frame.
    Recoded(Recoded),
    /// Nothing.
    Failed(Failure),
}

/// Why nothing became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// In words; no values of the data set.
    pub why: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// There is no codec, or it is not that kind of image.
    Unsupported,
    /// The pixels are broken or are not what the header says.
    Broken,
    /// The decoder gave up on itself.
    BrokeDown,
}

impl Job {
    /// As a message.
    ///
    /// # Errors
    /// When the frame is larger than one may be.
    pub fn message(&self) -> Result<Message, ProtocolError> {
        let (source, ask) = match self {
            Self::Show(source, showing) => (source, wire::Ask::Show(wire::Showing::of(showing))),
            Self::Recode(source, target) => (source, wire::Ask::Recode { to: target.uid().to_owned() }),
        };
        let (of, body) = match source {
            PixelSource::Object { file, number } => {
                (wire::Of::Object { number: *number }, vec![file.clone()])
            }
            PixelSource::Frame { transfer_syntax, header, number, parts, skip_bits } => {
                let of = wire::Of::Frame {
                    transfer_syntax: transfer_syntax.to_string(),
                    header_bytes: header.len(),
                    number: *number,
                    skip_bits: *skip_bits,
                };
                // The frame first: whoever takes the header off its end has not to move it.
                (of, parts.iter().cloned().chain([header.clone()]).collect())
            }
        };
        message(&wire::Job { ask, of }, body)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(head: &[u8], mut body: Vec<u8>) -> Result<Self, ProtocolError> {
        let wire::Job { ask, of } =
            serde_json::from_slice(head).map_err(|_| ProtocolError("it is no piece of work"))?;
        let source = match of {
            wire::Of::Object { number } => PixelSource::Object { file: body.into(), number },
            wire::Of::Frame { transfer_syntax, header_bytes, number, skip_bits } => {
                let transfer_syntax = TransferSyntaxUid::parse(&transfer_syntax)
                    .map_err(|_| ProtocolError("its transfer syntax is no UID"))?;
                let frame_bytes = body.len().checked_sub(header_bytes).filter(|_| skip_bits <= 7);
                let frame_bytes = frame_bytes.ok_or(ProtocolError("its header is longer than its body"))?;
                let header = body.split_off(frame_bytes).into();
                PixelSource::Frame { transfer_syntax, header, number, parts: vec![body.into()], skip_bits }
            }
        };
        match ask {
            wire::Ask::Show(showing) => Ok(Self::Show(source, showing.read()?)),
            wire::Ask::Recode { to } => {
                let target =
                    Target::of(&to).ok_or(ProtocolError("it asks for a syntax that is not written"))?;
                Ok(Self::Recode(source, target))
            }
        }
    }

    /// Does it. May crash, hang and take memory, as decoders do.
    #[must_use]
    pub fn perform(self) -> Done {
        let done = match self {
            Self::Show(source, showing) => show(source, showing).map(Done::Shown),
            Self::Recode(source, target) => recode(source, target).map(Done::Recoded),
        };
        done.unwrap_or_else(|error| Done::Failed(failure(&error)))
    }
}

fn show(source: PixelSource, showing: Showing) -> Result<Shown, PictureError> {
    let picture = match source {
        PixelSource::Object { file, number } => picture::of_object(&file, number)?,
        PixelSource::Frame { transfer_syntax, header, number, parts, skip_bits } => {
            let header = tree::read(&GuardedHeader::of_beginning(&header, &transfer_syntax)?)?;
            picture::decode(&header, &transfer_syntax, number, joined(parts), skip_bits)?
        }
    };
    let rendered = picture.render(showing.shading, showing.viewport)?;
    let (width, height) = rendered.size();
    Ok(Shown { file: rendered.write(showing.format)?.into(), width, height })
}

fn recode(source: PixelSource, target: Target) -> Result<Recoded, PictureError> {
    let (header, syntax, frame, skip_bits) = match source {
        PixelSource::Object { file, number } => picture::find(&file, number)?,
        PixelSource::Frame { transfer_syntax, header, parts, skip_bits, .. } => {
            let header = tree::read(&GuardedHeader::of_beginning(&header, &transfer_syntax)?)?;
            (header, transfer_syntax, joined(parts), skip_bits)
        }
    };
    let (native, format) = picture::native(&header, &syntax, frame, skip_bits)?;
    let photometric =
        (native.photometric != format.photometric).then(|| native.photometric.term().to_owned());
    Ok(Recoded { bytes: codec::encode(native, &format, target)?.into(), photometric })
}

/// One part is taken as it is.
fn joined(parts: Vec<Bytes>) -> Vec<u8> {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([part]) => part.into(),
        Err(parts) => parts.concat(),
    }
}

fn failure(error: &PictureError) -> Failure {
    let why = match error {
        PictureError::Frames(inner) => inner.to_string(),
        PictureError::Refused(inner) => inner.flaw.as_str().to_owned(),
        PictureError::Unsupported(why) | PictureError::Mismatch(why) => (*why).to_owned(),
        PictureError::NotDicom(_)
        | PictureError::TooLarge
        | PictureError::NoRegion
        | PictureError::Decode(_)
        | PictureError::Write(_) => error.to_string(),
    };
    let kind = match error {
        PictureError::Unsupported(_)
        | PictureError::TooLarge
        | PictureError::NoRegion
        | PictureError::Write(_) => FailureKind::Unsupported,
        PictureError::NotDicom(_)
        | PictureError::Refused(_)
        | PictureError::Frames(_)
        | PictureError::Mismatch(_)
        | PictureError::Decode(_) => FailureKind::Broken,
    };
    Failure { kind, why }
}

impl Done {
    /// As a message.
    ///
    /// # Errors
    /// When the result is larger than one may be.
    pub fn message(self) -> Result<Message, ProtocolError> {
        let (head, body) = match self {
            Self::Shown(Shown { file, width, height }) => (wire::Done::Shown { width, height }, file),
            Self::Recoded(Recoded { bytes, photometric }) => (wire::Done::Recoded { photometric }, bytes),
            Self::Failed(Failure { kind, why }) => {
                let why = why.chars().take(WHY_CHARS_MAX).collect();
                (wire::Done::Failed { kind, why }, Bytes::new())
            }
        };
        message(&head, vec![body])
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(head: &[u8], body: Bytes) -> Result<Self, ProtocolError> {
        let head = serde_json::from_slice(head).map_err(|_| ProtocolError("it is no answer"))?;
        Ok(match head {
            wire::Done::Shown { width, height } => Self::Shown(Shown { file: body, width, height }),
            wire::Done::Recoded { photometric } => Self::Recoded(Recoded { bytes: body, photometric }),
            wire::Done::Failed { kind, why } => Self::Failed(Failure { kind, why }),
        })
    }
}

/// Heads as they are written.
mod wire {
    use super::{
        Deserialize, FailureKind, PictureFormat, ProtocolError, Region, Serialize, Shading, Viewport, Window,
        WindowFunction,
    };

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Job {
        pub(super) ask: Ask,
        pub(super) of: Of,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Ask {
        Show(Showing),
        Recode { to: String },
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Of {
        Object { number: u32 },
        Frame { transfer_syntax: String, header_bytes: usize, number: u32, skip_bits: u8 },
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Done {
        Shown { width: u32, height: u32 },
        Recoded { photometric: Option<String> },
        Failed { kind: FailureKind, why: String },
    }

    /// Centre, width, function; width, height, whether it is enlarged, region; quality of JPEG, else PNG.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Showing {
        shading: Option<(f64, f64, u8)>,
        viewport: Option<(u32, u32, bool)>,
        region: Option<(f64, f64, Option<f64>, Option<f64>)>,
        jpeg: Option<u8>,
    }

    const FUNCTIONS: [WindowFunction; 3] =
        [WindowFunction::Linear, WindowFunction::LinearExact, WindowFunction::Sigmoid];

    impl Showing {
        pub(super) fn of(showing: &super::Showing) -> Self {
            let function =
                |function| FUNCTIONS.iter().position(|known| *known == function).unwrap_or(0) as u8;
            Self {
                shading: showing
                    .shading
                    .map(|shading| (shading.window.centre, shading.window.width, function(shading.function))),
                viewport: showing.viewport.map(|place| (place.width, place.height, place.enlarge)),
                region: showing
                    .viewport
                    .and_then(|place| place.region)
                    .map(|region| (region.left, region.top, region.width, region.height)),
                jpeg: match showing.format {
                    PictureFormat::Jpeg(quality) => Some(quality),
                    PictureFormat::Png => None,
                },
            }
        }

        pub(super) fn read(self) -> Result<super::Showing, ProtocolError> {
            let shading = self.shading.map(|(centre, width, function)| {
                let function = FUNCTIONS.get(usize::from(function)).copied();
                let function = function.ok_or(ProtocolError("its window has no function"))?;
                Ok(Shading { window: Window { centre, width }, function })
            });
            let region = self.region.map(|(left, top, width, height)| Region { left, top, width, height });
            Ok(super::Showing {
                shading: shading.transpose()?,
                viewport: self.viewport.map(|(width, height, enlarge)| Viewport {
                    width,
                    height,
                    enlarge,
                    region,
                }),
                format: self.jpeg.map_or(PictureFormat::Png, PictureFormat::Jpeg),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &Message) -> (Vec<u8>, Bytes) {
        let prefix = message.head[..PREFIX_BYTES].try_into().unwrap();
        let lengths = Lengths::read(prefix).unwrap();
        let body = message.body.concat();
        assert_eq!((lengths.head, lengths.body), (message.head.len() - PREFIX_BYTES, body.len()));
        (message.head[PREFIX_BYTES..].to_vec(), body.into())
    }

    #[test]
    fn work_and_answers_come_as_they_were_sent() {
        let source = PixelSource::Frame {
            transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.4.80").unwrap(),
            header: Bytes::from_static(b"head"),
            number: 7,
            parts: vec![Bytes::from_static(b"pixels")],
            skip_bits: 3,
        };
        let region = Region { left: 1.5, top: 0.0, width: Some(-20.0), height: None };
        let showing = Showing {
            shading: Some(Shading {
                window: Window { centre: 40.0, width: 400.0 },
                function: WindowFunction::Sigmoid,
            }),
            viewport: Some(Viewport { width: 10, height: 20, enlarge: true, region: Some(region) }),
            format: PictureFormat::Jpeg(75),
        };
        let object = PixelSource::Object { file: Bytes::from_static(b"file"), number: 1 };
        let plain = Showing { shading: None, viewport: None, format: PictureFormat::Png };
        for job in [
            Job::Show(source.clone(), showing),
            Job::Show(object, plain),
            Job::Recode(source, Target::JpegLs),
        ] {
            let (head, body) = sent(&job.message().unwrap());
            assert_eq!(Job::read(&head, body.into()).unwrap(), job);
        }
        for done in [
            Done::Shown(Shown { file: Bytes::from_static(b"png"), width: 1, height: 2 }),
            Done::Recoded(Recoded { bytes: Bytes::from_static(b"x"), photometric: Some("RGB".to_owned()) }),
            Done::Failed(Failure { kind: FailureKind::Broken, why: "no".to_owned() }),
        ] {
            let (head, body) = sent(&done.clone().message().unwrap());
            assert_eq!(Done::read(&head, body).unwrap(), done);
        }
    }

    #[test]
    fn what_is_no_message_is_refused_before_anything_is_allocated() {
        let prefix = |mark: &[u8; 4], head: u32, body: u64| {
            let bytes = [&mark[..], &head.to_le_bytes(), &body.to_le_bytes()].concat();
            Lengths::read(bytes[..].try_into().unwrap())
        };
        assert!(prefix(b"tlpx", 10, 10).is_ok());
        assert!(prefix(b"GIF8", 10, 10).is_err());
        assert!(prefix(b"tlpx", HEAD_BYTES_MAX as u32 + 1, 10).is_err());
        assert!(prefix(b"tlpx", 10, BODY_BYTES_MAX + 1).is_err());
        assert!(Job::read(b"{}", Vec::new()).is_err() && Done::read(b"[1]", Bytes::new()).is_err());
        let beyond = br#"{"ask":{"recode":{"to":"1.2.840.10008.1.2.1"}},"of":{"frame":{"transfer_syntax":"1.2","header_bytes":9,"number":1,"skip_bits":0}}}"#;
        assert!(Job::read(beyond, b"short".to_vec()).is_err());
    }
}
