//! One stored DICOM instance, what its header told us, and what happens when it arrives.

use crate::{
    Timestamp,
    digest::Sha256Digest,
    id::CentreId,
    object::ObjectRef,
    text::{AccessionNumber, AeTitle, CharacterSetRule, PatientId, PersonName},
    uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid},
};

/// What a header says about the patient and the study. Text is UTF-8, whatever character set the image uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StudyAttributes {
    /// (0010,0020).
    pub patient_id: Option<PatientId>,
    /// (0010,0010).
    pub patient_name: Option<PersonName>,
    /// (0010,0030).
    pub patient_birth_date: Option<jiff::civil::Date>,
    /// (0010,0040), as it stands: `M`, `F`, `O`.
    pub patient_sex: Option<String>,
    /// (0008,0020).
    pub study_date: Option<jiff::civil::Date>,
    /// (0008,0030), as it stands: `HHMMSS.FFFFFF`.
    pub study_time: Option<String>,
    /// (0008,0050).
    pub accession_number: Option<AccessionNumber>,
    /// (0020,0010).
    pub study_id: Option<String>,
    /// (0008,1030).
    pub description: Option<String>,
    /// (0008,0090).
    pub referring_physician: Option<PersonName>,
    /// (0008,0080).
    pub institution: Option<String>,
    /// (0008,0201), as it stands: `+0100`.
    pub timezone_offset: Option<String>,
}

/// What a header says about the series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeriesAttributes {
    /// (0008,0060).
    pub modality: Option<String>,
    /// (0020,0011).
    pub number: Option<i64>,
    /// (0008,103E).
    pub description: Option<String>,
    /// (0018,0015).
    pub body_part: Option<String>,
    /// (0018,1030).
    pub protocol_name: Option<String>,
    /// (0008,0070) and (0008,1090), joined by a space.
    pub device: Option<String>,
    /// Performed Procedure Step Start Date (0040,0244).
    pub performed_start_date: Option<jiff::civil::Date>,
    /// Performed Procedure Step Start Time (0040,0245).
    pub performed_start_time: Option<String>,
    /// Request Attributes Sequence (0040,0275): what was asked for; at most [`REQUESTS_MAX`].
    pub requests: Vec<RequestAttributes>,
    /// How texts of its images are read, where a rule for the device or the centre said so when the first one came.
    pub character_set: Option<CharacterSetRule>,
}

/// Most items of a Request Attributes Sequence that are kept: a scan answers one request, seldom a few.
pub const REQUESTS_MAX: usize = 16;

/// An item of a Request Attributes Sequence (PS3.3 table 10-9), as far as lists need it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestAttributes {
    /// Scheduled Procedure Step ID (0040,0009).
    pub scheduled_step: Option<String>,
    /// Requested Procedure ID (0040,1001).
    pub requested_procedure: Option<String>,
}

/// What a header says about the instance, as far as lists, order and geometry need it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InstanceAttributes {
    /// (0020,0013).
    pub number: Option<i64>,
    /// (0028,0010).
    pub rows: Option<u32>,
    /// (0028,0011).
    pub columns: Option<u32>,
    /// (0028,0100).
    pub bits_allocated: Option<u16>,
    /// (0028,0008); `None` for objects without pixels or with one frame that do not say.
    pub frames: Option<u32>,
    /// (0020,0032): x, y, z in mm.
    pub position: Option<[f64; 3]>,
    /// (0020,0037): row then column direction cosines.
    pub orientation: Option<[f64; 6]>,
    /// Bytes from the start of the stored file to the first byte of the Pixel Data element's tag, or to the end.
    pub header_bytes: u64,
    /// Where its frames are. Lists leave it out.
    pub frame_index: Option<FrameIndex>,
}

/// Where the frames of a stored object are, in the form of `imaging::layout`, which writes and reads it. It was noted while the object
/// came, and an object without one is looked into when a frame is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameIndex(pub Box<[u8]>);

/// One stored instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Whose it is.
    pub centre: CentreId,
    /// Its study.
    pub study: StudyInstanceUid,
    /// Its series.
    pub series: SeriesInstanceUid,
    /// (0008,0018).
    pub sop_instance: SopInstanceUid,
    /// (0008,0016).
    pub sop_class: SopClassUid,
    /// How the data set is encoded, as received.
    pub transfer_syntax: TransferSyntaxUid,
    /// Where the bytes rest.
    pub object: ObjectRef,
    /// Size of the stored Part 10 file in bytes.
    pub bytes: u64,
    /// Digest of the stored Part 10 file. We make the file meta, and always alike, so the same data set in the same transfer syntax has the
    /// same digest whatever way it came.
    pub file_sha256: Sha256Digest,
    /// What lists and geometry need.
    pub attributes: InstanceAttributes,
    /// When it was made durable.
    pub received: Timestamp,
}

/// An instance whose bytes are durable in storage and which now asks to be known.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The instance.
    pub instance: Instance,
    /// Its header on patient and study.
    pub study: StudyAttributes,
    /// Its header on the series.
    pub series: SeriesAttributes,
    /// Which way it came.
    pub source: Source,
}

/// Which way an instance came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Over a DICOM association, from this calling AE title.
    Association(AeTitle),
    /// Over STOW-RS.
    Web,
    /// Found in storage by `telerad rebuild`.
    Rebuild,
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrivalOutcome {
    /// New, and now known.
    Stored,
    /// The same bytes were already known; nothing changed, and the object that was just written is not needed.
    AlreadyStored {
        /// Where the bytes that count rest.
        object: ObjectRef,
    },
    /// The same SOP Instance UID is known with other bytes (or in another study). Both are kept, the current one stays so, and the
    /// conflict ([`crate::conflict`]) is on a list that people see.
    Conflict {
        /// Where the bytes that were sent rest: these ones, or those that came earlier and make these unneeded.
        object: ObjectRef,
    },
    /// Its study was taken out and can come back ([`crate::port::catalog::TakenOutStudies`]); nothing was recorded.
    TakenOut,
    /// A sweep has removed what stood at its place, or is about to; nothing was recorded. Whoever then finds the object there has put
    /// it again and may record it again; who does not has nothing to record.
    Swept,
}
