//! STOW-RS of metadata and bulk data (PS3.18 sections 8.6.1 and 10.5): `multipart/related` whose first part or parts are DICOM JSON or XML,
//! followed by bulk data. What is made of them goes the way of every object ([`crate::receive`]), guard and all.
//!
//! A BulkDataURI names a part of the same body by its Content-Location, and nothing else: nothing is ever fetched. Metadata are read
//! before anything is stored, so that what cannot be read is refused as a whole; bulk data rest in a file until their object is complete.

use std::collections::{BTreeMap, HashMap};

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use domain::{
    image::Source,
    quarantine::Way,
    uid::{SopClassUid, SopInstanceUid},
};
use futures::Stream;
use gate::{MediaRange, Problem};
use imaging::{
    VR,
    codestream::{self, LOOKED_AT_BYTES_MAX, Pixels},
    compose::{self, Bulk, Composed, Flaw, Reading, Role, Unreadable},
};

use super::{
    Outcome, RETRY_AFTER_SECONDS, Stow, Target, broken, drain,
    negotiate::{Form, unsupported},
    waiting::{Range, Shelf},
};
use crate::{
    multipart::{Multipart, MultipartError},
    receive::{Announced, Received, Receiving, Refusal},
};

/// Most bytes of the metadata of one request; about 1 500 CT slices.
pub const METADATA_BYTES_MAX: usize = 16 << 20;
/// Most objects of the metadata of one request. Nothing of one need be more than three characters, and each is answered.
pub const OBJECTS_MAX: usize = 5_000;
/// Bytes of bulk data after which it is asked again whether there is room.
const ROOM_BYTES: u64 = 16 << 20;
const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
const SEQUENCE_END: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];

/// The head of a part, as far as it counts.
struct Head {
    media_type: Option<MediaRange>,
    location: Option<String>,
    is_encoded: bool,
}

impl Head {
    fn parse(head: &[u8]) -> Self {
        let mut parsed = Self { media_type: None, location: None, is_encoded: false };
        for line in String::from_utf8_lossy(head).split("\r\n") {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "content-type" => parsed.media_type = MediaRange::parse(value),
                "content-location" => parsed.location = Some(value.to_owned()),
                "content-transfer-encoding" => {
                    let plain = ["binary", "8bit", "7bit"];
                    parsed.is_encoded |= !plain.iter().any(|plain| value.eq_ignore_ascii_case(plain));
                }
                "content-encoding" => parsed.is_encoded = true,
                _ => {}
            }
        }
        parsed
    }

    fn is(&self, form: Form) -> bool {
        self.media_type.as_ref().is_some_and(|it| it.media_type == form.media_type())
    }
}

/// An object that is not complete yet, or no more.
struct Object {
    composed: Composed,
    parts: Vec<Parts>,
    pixels: Option<Pixels>,
    bulk_bytes: u64,
    result: Option<Result<Received, Refusal>>,
}

/// What came of one of its bulk data.
#[derive(Default)]
struct Parts {
    /// By the number of the frame, counted from 1; values that are not pixels have one.
    ranges: BTreeMap<u32, Range>,
    is_complete: bool,
}

/// What is known while the parts come in.
struct Taking<'s> {
    stow: &'s Stow,
    target: &'s Target,
    objects: Vec<Object>,
    /// Which object and which of its bulk data a BulkDataURI stands for.
    places: HashMap<String, (usize, usize)>,
    shelf: Shelf,
    /// How many parts are there that an object still needs.
    shelved: usize,
    /// Parts that belong to no object.
    strays: Vec<Outcome>,
}

impl Stow {
    /// Takes a body of metadata and bulk data.
    pub(super) async fn take_described<S>(
        &self,
        target: &Target,
        form: Form,
        parts: &mut Multipart<S>,
    ) -> Result<Vec<Outcome>, Problem>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
    {
        let limit = self.config.request_bytes_max;
        let mut reading = Reading::new(self.intake.guard, self.config.request_parts_max.min(OBJECTS_MAX));
        let (mut objects, mut texts, mut bytes) = (Vec::new(), 0_usize, 0_usize);
        let mut next = parts.next_part().await.map_err(|error| broken(&error, limit))?;
        while let Some(head) = next.as_deref().map(Head::parse) {
            // The root part is of the type of the whole, whether it says so or not (RFC 2387 section 3.1).
            let is_root = texts == 0 && head.media_type.is_none();
            if !head.is(form) && !is_root {
                break;
            }
            texts += 1;
            if head.is_encoded {
                return Err(unsupported("A part with a content encoding or transfer encoding is not taken."));
            }
            self.bound_parts(texts)?;
            let text = text(parts, &mut reading, &mut bytes, limit).await?;
            let read;
            (reading, read) = self.read(reading, form, text).await?;
            objects.extend(read);
            next = parts.next_part().await.map_err(|error| broken(&error, limit))?;
        }
        if texts == 0 {
            return match next {
                Some(_) => Err(unsupported("The first part is not of the type that the request says.")),
                None => Err(no_objects()),
            };
        }
        if objects.is_empty() {
            return Err(no_objects());
        }
        let mut taking = Taking::new(self, target, objects);
        taking.store_complete().await;
        let mut count = texts;
        while let Some(head) = next {
            count += 1;
            self.bound_parts(count)?;
            let head = Head::parse(&head);
            taking.part(&head, parts).await.map_err(|error| broken(&error, limit))?;
            next = parts.next_part().await.map_err(|error| broken(&error, limit))?;
        }
        Ok(taking.finish())
    }

    fn bound_parts(&self, count: usize) -> Result<(), Problem> {
        if count > self.config.request_parts_max {
            return Err(super::too_many_parts());
        }
        Ok(())
    }

    /// Reads a text beside the threads that serve others.
    async fn read(
        &self,
        mut reading: Reading,
        form: Form,
        text: Bytes,
    ) -> Result<(Reading, Vec<Composed>), Problem> {
        let _reader = self.readers.acquire().await.map_err(|error| Problem::internal(&error))?;
        let read = tokio::task::spawn_blocking(move || {
            let read = match form {
                Form::Json => reading.json(&text),
                Form::Xml => reading.xml(&text).map(|object| vec![object]),
            };
            (reading, read)
        });
        let (reading, read) = read.await.map_err(|error| Problem::internal(&error))?;
        Ok((reading, read.map_err(|unreadable| unread(&unreadable))?))
    }
}

fn no_objects() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "no_parts", "The request holds no metadata of an object.")
}

fn busy() -> Problem {
    let message = "Too much metadata is being read at this moment.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
        .next_step("Send the request again.")
        .retry_after(RETRY_AFTER_SECONDS)
}

fn unread(unreadable: &Unreadable) -> Problem {
    let message = format!("The metadata cannot be read: {unreadable}.");
    match unreadable.flaw {
        Flaw::Syntax(_) | Flaw::Model(_) => {
            Problem::new(StatusCode::BAD_REQUEST, "malformed_metadata", message)
                .next_step("Correct the metadata and send the request again. Nothing was stored.")
        }
        Flaw::Limit(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "metadata_too_large", message)
            .next_step("Send fewer instances a request, or each as application/dicom. Nothing was stored."),
        Flaw::Busy => busy(),
    }
}

/// The text of one part of metadata.
async fn text<S>(
    part: &mut Multipart<S>,
    reading: &mut Reading,
    bytes: &mut usize,
    limit: u64,
) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
{
    let mut text = BytesMut::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| broken(&error, limit))? {
        *bytes += chunk.len();
        if *bytes > METADATA_BYTES_MAX {
            let message = format!("The metadata are larger than {METADATA_BYTES_MAX} bytes.");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "metadata_too_large", message)
                .next_step("Send fewer instances a request. Nothing was stored."));
        }
        if !reading.hold(chunk.len()) {
            return Err(busy());
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text.freeze())
}

impl<'s> Taking<'s> {
    fn new(stow: &'s Stow, target: &'s Target, composed: Vec<Composed>) -> Self {
        let mut places = HashMap::new();
        let mut objects = Vec::with_capacity(composed.len());
        for (number, composed) in composed.into_iter().enumerate() {
            let mut result = None;
            for (place, bulk) in composed.bulk.iter().enumerate() {
                // One part is one value: what many values shared could fill a disk from a few bytes.
                if places.contains_key(&bulk.uri) {
                    let flaw = format!("element {} names bulk data that another element names", bulk.tag);
                    result = Some(Err(Refusal::BulkData(flaw)));
                } else {
                    places.insert(bulk.uri.clone(), (number, place));
                }
            }
            let parts = composed.bulk.iter().map(|_| Parts::default()).collect();
            objects.push(Object { composed, parts, pixels: None, bulk_bytes: 0, result });
        }
        Self {
            stow,
            target,
            objects,
            places,
            shelf: Shelf::new(&stow.waiting),
            shelved: 0,
            strays: Vec::new(),
        }
    }

    /// Stores the objects that need no bulk data.
    async fn store_complete(&mut self) {
        for number in 0..self.objects.len() {
            if self.objects[number].composed.bulk.is_empty() && self.objects[number].result.is_none() {
                self.store(number).await;
            }
        }
    }

    /// Takes one part of bulk data. An error is one of the request as a whole.
    async fn part<S>(&mut self, head: &Head, part: &mut Multipart<S>) -> Result<(), MultipartError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
    {
        let Some((number, place, frame)) = head.location.as_deref().and_then(|location| self.named(location))
        else {
            let flaw = "a part of the request has a Content-Location that no BulkDataURI names, or none";
            return self.stray(flaw, part).await;
        };
        let object = &self.objects[number];
        if object.result.is_some() && !object.parts[place].is_complete {
            // It has failed, and says so itself.
            while part.chunk().await?.is_some() {}
            return Ok(());
        }
        if object.parts[place].is_complete {
            return self
                .stray("a part of the request stands twice, or has more frames than its object", part)
                .await;
        }
        match self.shelve(number, place, frame, head, part).await? {
            Ok(()) => {
                self.shelved += 1;
                if self.objects[number].parts.iter().all(|part| part.is_complete) {
                    self.store(number).await;
                }
            }
            Err(refusal) => {
                self.ended(number, Err(refusal)).await;
                while part.chunk().await?.is_some() {}
            }
        }
        Ok(())
    }

    /// Which value a Content-Location stands for, and which frame of it (PS3.18 section 8.6.1.2.2).
    fn named(&self, location: &str) -> Option<(usize, usize, Option<u32>)> {
        if let Some((number, place)) = self.places.get(location) {
            return Some((*number, *place, None));
        }
        let (uri, frame) = location.rsplit_once("/frames/")?;
        let (number, place) = self.places.get(uri)?;
        Some((*number, *place, Some(frame.parse().ok()?)))
    }

    async fn stray<S>(&mut self, flaw: &str, part: &mut Multipart<S>) -> Result<(), MultipartError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
    {
        self.strays.push(drain(part, Refusal::BulkData(flaw.to_owned())).await?);
        Ok(())
    }

    /// Puts a part down, and looks what it is.
    async fn shelve<S>(
        &mut self,
        number: usize,
        place: usize,
        frame: Option<u32>,
        head: &Head,
        part: &mut Multipart<S>,
    ) -> Result<Result<(), Refusal>, MultipartError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>> + Unpin,
    {
        if head.is_encoded {
            return Ok(Err(Refusal::BulkData(
                "a part has a content encoding or transfer encoding".to_owned(),
            )));
        }
        let start = self.shelf.end();
        let (mut bytes, mut room_at) = (0_u64, 0_u64);
        let mut beginning = BytesMut::new();
        while let Some(chunk) = part.chunk().await? {
            if bytes >= room_at {
                room_at = bytes + ROOM_BYTES;
                if !self.stow.room.is_there() {
                    return Ok(Err(Refusal::Full));
                }
            }
            bytes += chunk.len() as u64;
            let object = &mut self.objects[number];
            object.bulk_bytes += chunk.len() as u64;
            if object.bulk_bytes > self.stow.intake.object_bytes_max {
                return Ok(Err(Refusal::TooLarge(self.stow.intake.object_bytes_max)));
            }
            if beginning.len() < LOOKED_AT_BYTES_MAX {
                let more = (LOOKED_AT_BYTES_MAX - beginning.len()).min(chunk.len());
                beginning.extend_from_slice(&chunk[..more]);
            }
            if let Err(refusal) = self.shelf.put(&chunk).await {
                return Ok(Err(refusal));
            }
        }
        Ok(self.objects[number].part(place, frame, head, &beginning, Range { start, bytes }))
    }

    /// Stores an object that is complete.
    async fn store(&mut self, number: usize) {
        let bytes = Bytes::from(std::mem::take(&mut self.objects[number].composed.bytes));
        let result = write(self.stow, self.target, &self.objects[number], bytes, &mut self.shelf).await;
        self.ended(number, result).await;
    }

    /// What became of an object is known; what it had waiting no longer does.
    async fn ended(&mut self, number: usize, result: Result<Received, Refusal>) {
        if let Err(refusal) = &result {
            tracing::warn!(reason = %refusal, "object refused");
        }
        let object = &mut self.objects[number];
        object.result = Some(result);
        let had: usize = object.parts.iter().map(|parts| parts.ranges.len()).sum();
        self.shelved = self.shelved.saturating_sub(had);
        let ready = match self.shelved {
            0 => self.shelf.clear().await,
            _ => self.shelf.rewind().await,
        };
        if let Err(refusal) = ready {
            // What waits can no longer be read; whatever is not stored yet says so.
            for object in self.objects.iter_mut().filter(|object| object.result.is_none()) {
                object.result = Some(Err(refusal.clone()));
            }
        }
    }

    /// The body is over: whatever is not complete never will be.
    fn finish(self) -> Vec<Outcome> {
        let outcomes = self.objects.into_iter().map(|object| Outcome {
            sop_class: object.composed.sop_class.as_deref().and_then(|uid| SopClassUid::parse(uid).ok()),
            sop_instance: object
                .composed
                .sop_instance
                .as_deref()
                .and_then(|uid| SopInstanceUid::parse(uid).ok()),
            result: match object.result {
                Some(result) => result,
                None => Err(object.missing()),
            },
        });
        outcomes.chain(self.strays).collect()
    }
}

impl Object {
    /// A part came in whole.
    fn part(
        &mut self,
        place: usize,
        frame: Option<u32>,
        head: &Head,
        beginning: &[u8],
        range: Range,
    ) -> Result<(), Refusal> {
        let bulk = &self.composed.bulk[place];
        let media_type =
            head.media_type.as_ref().map_or("application/octet-stream", |it| it.media_type.as_str());
        let syntax = head.media_type.as_ref().and_then(|it| it.parameter("transfer-syntax"));
        let frames = match bulk.role {
            Role::Pixels => {
                let found =
                    codestream::pixels(media_type, syntax, beginning).map_err(Refusal::TransferSyntax)?;
                if self.pixels.get_or_insert_with(|| found.clone()) != &found {
                    return Err(Refusal::TransferSyntax("its frames have several transfer syntaxes"));
                }
                match found {
                    Pixels::Native | Pixels::Film(_) => 1,
                    Pixels::Frames(_) => self.composed.frames.unwrap_or(1).max(1),
                }
            }
            Role::Value | Role::OffsetTable => {
                let kind = media_type.split('/').next().unwrap_or_default();
                if matches!(kind, "image" | "video" | "multipart") {
                    let flaw = format!("element {} came in a media type for pixels alone", bulk.tag);
                    return Err(Refusal::BulkData(flaw));
                }
                1
            }
        };
        let parts = &mut self.parts[place];
        let frame = frame.unwrap_or_else(|| parts.ranges.last_key_value().map_or(1, |(last, _)| last + 1));
        if !(1..=frames).contains(&frame) || parts.ranges.insert(frame, range).is_some() {
            let flaw =
                format!("element {} has a frame twice, or one that the object does not have", bulk.tag);
            return Err(Refusal::BulkData(flaw));
        }
        parts.is_complete = parts.ranges.len() as u64 == u64::from(frames);
        Ok(())
    }

    fn missing(&self) -> Refusal {
        let missing = self.parts.iter().position(|part| !part.is_complete).unwrap_or_default();
        let tag = self.composed.bulk[missing].tag;
        Refusal::BulkData(match self.parts[missing].ranges.len() {
            0 => format!(
                "the bulk data of element {tag} are not in the request, and nothing is fetched from elsewhere"
            ),
            came => format!(
                "element {tag} has {} frames, of which {came} are in the request",
                self.composed.frames.unwrap_or(1)
            ),
        })
    }
}

/// Writes an object as it is to rest, on the way of every object.
async fn write(
    stow: &Stow,
    target: &Target,
    object: &Object,
    bytes: Bytes,
    shelf: &mut Shelf,
) -> Result<Received, Refusal> {
    if object.composed.sop_class.is_none() || object.composed.sop_instance.is_none() {
        // Thousands of these fit into a request. There is nothing in them that a person could look at, so none goes to quarantine.
        return Err(Refusal::NotUnderstood("it names no SOP class or no SOP instance".to_owned()));
    }
    if !stow.room.is_there() {
        return Err(Refusal::Full);
    }
    let mut receiving = stow.intake.receive(Announced {
        centre: target.centre.clone(),
        source: Source::Web,
        sop_class: None,
        sop_instance: None,
        study: target.study.clone(),
        transfer_syntax: object.pixels.as_ref().unwrap_or(&Pixels::Native).transfer_syntax(),
        way: Way::Web,
        by: Some(target.by.clone()),
        head: Bytes::new(),
        // What rules say of a device's texts is not true of these: they are UTF-8.
        character_set: None,
    });
    let mut at = 0;
    for (bulk, parts) in object.composed.bulk.iter().zip(&object.parts) {
        receiving.write(bytes.slice(at..bulk.at)).await?;
        at = bulk.at;
        match (bulk.role, &object.pixels) {
            (Role::OffsetTable, _) => {}
            (Role::Pixels, Some(Pixels::Frames(_))) => {
                fragments(&mut receiving, shelf, bulk, parts, true).await?
            }
            (Role::Pixels, Some(Pixels::Film(_))) => {
                fragments(&mut receiving, shelf, bulk, parts, false).await?
            }
            (Role::Pixels | Role::Value, _) => value(&mut receiving, shelf, bulk, parts).await?,
        }
    }
    receiving.write(bytes.slice(at..)).await?;
    receiving.finish().await
}

/// An element with a plain value.
async fn value(
    receiving: &mut Receiving,
    shelf: &mut Shelf,
    bulk: &Bulk,
    parts: &Parts,
) -> Result<(), Refusal> {
    for range in parts.ranges.values() {
        let length = u32::try_from(even(range.bytes)).ok().filter(|length| *length < u32::MAX);
        let length =
            length.ok_or_else(|| Refusal::BulkData(format!("element {} is longer than 4 GiB", bulk.tag)))?;
        receiving.write(compose::head(bulk.tag, bulk.vr, length).into()).await?;
        copy(receiving, shelf, *range, compose::padding(bulk.vr)).await?;
    }
    Ok(())
}

/// Pixels in fragments (PS3.5 section A.4), a frame each, behind an offset table that says where they begin.
async fn fragments(
    receiving: &mut Receiving,
    shelf: &mut Shelf,
    bulk: &Bulk,
    parts: &Parts,
    has_table: bool,
) -> Result<(), Refusal> {
    let mut table = Vec::with_capacity(parts.ranges.len());
    let mut offset = 0_u64;
    for range in parts.ranges.values() {
        table.push(u32::try_from(offset).ok());
        offset += 8 + even(range.bytes);
    }
    // Beyond 4 GiB there is none, which is allowed.
    let table: Option<Vec<u32>> = table.into_iter().collect();
    let table = table.filter(|_| has_table).unwrap_or_default();
    let mut head = compose::long_head(bulk.tag, VR::OB, u32::MAX).to_vec();
    head.extend(ITEM);
    head.extend(length(table.len() as u64 * 4, bulk)?.to_le_bytes());
    head.extend(table.iter().flat_map(|offset| offset.to_le_bytes()));
    receiving.write(head.into()).await?;
    for range in parts.ranges.values() {
        let length = length(even(range.bytes), bulk)?;
        receiving.write([ITEM, length.to_le_bytes()].concat().into()).await?;
        copy(receiving, shelf, *range, 0).await?;
    }
    receiving.write(Bytes::from_static(&SEQUENCE_END)).await
}

fn length(bytes: u64, bulk: &Bulk) -> Result<u32, Refusal> {
    let length = u32::try_from(bytes).ok().filter(|length| *length < u32::MAX);
    length.ok_or_else(|| Refusal::BulkData(format!("a frame of element {} is longer than 4 GiB", bulk.tag)))
}

const fn even(bytes: u64) -> u64 {
    bytes.next_multiple_of(2)
}

async fn copy(
    receiving: &mut Receiving,
    shelf: &mut Shelf,
    range: Range,
    padding: u8,
) -> Result<(), Refusal> {
    shelf.seek(range).await?;
    let mut left = range.bytes;
    while left > 0 {
        let bytes = shelf.next(left).await?;
        left -= bytes.len() as u64;
        receiving.write(bytes).await?;
    }
    if range.bytes % 2 == 1 {
        receiving.write(Bytes::copy_from_slice(&[padding])).await?;
    }
    Ok(())
}
