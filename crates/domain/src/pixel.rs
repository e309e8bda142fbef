//! Pixel work: what is asked of a frame's pixels, and what comes of it. Words alone; the work itself is done behind
//! [`crate::port::Pixels`], where hostile bytes harm nobody.

use bytes::Bytes;

use crate::uid::TransferSyntaxUid;

/// A window: which values are shown between black and white (PS3.3 section C.11.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The value shown as middle grey.
    pub centre: f64,
    /// How many values lie between black and white; at least 1.
    pub width: f64,
}

/// How values within a window become shades (PS3.3 sections C.11.2.1.2.1 and C.11.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowFunction {
    /// `LINEAR`.
    #[default]
    Linear,
    /// `LINEAR_EXACT`.
    LinearExact,
    /// `SIGMOID`.
    Sigmoid,
}

/// A window with its function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shading {
    /// The window.
    pub window: Window,
    /// Its function.
    pub function: WindowFunction,
}

impl From<Window> for Shading {
    fn from(window: Window) -> Self {
        Self { window, function: WindowFunction::Linear }
    }
}

/// A part of an image, in its pixels (PS3.18 section 8.3.5.1.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Of the left edge.
    pub left: f64,
    /// Of the upper edge.
    pub top: f64,
    /// To the right; negative when the part is shown flipped from left to right. `None` for all that is there.
    pub width: Option<f64>,
    /// Downwards; negative when the part is shown upside down. `None` for all that is there.
    pub height: Option<f64>,
}

/// The place that a picture is to fit in, keeping its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Whether a picture that is smaller is made larger.
    pub enlarge: bool,
    /// The part that is shown; all of it when not given.
    pub region: Option<Region>,
}

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// JPEG, with a quality from 1 to 100.
    Jpeg(u8),
    /// PNG; the same picture gives the same bytes.
    Png,
}

/// How a frame is to be shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Showing {
    /// The window; that of the header, else one that holds all values, when not given.
    pub shading: Option<Shading>,
    /// Where it is to fit in; as large as it is when not given.
    pub viewport: Option<Viewport>,
    /// What it is written as.
    pub format: PictureFormat,
}

/// The frame that is worked on.
#[derive(Debug, Clone, PartialEq)]
pub enum PixelSource {
    /// A frame that was found in its object.
    Frame {
        /// How header and frame are written.
        transfer_syntax: TransferSyntaxUid,
        /// The data set up to its pixels, or what of it describes them.
        header: Bytes,
        /// Which frame, from 1.
        number: u32,
        /// Its bytes, in order.
        parts: Vec<Bytes>,
        /// How many bits of the first byte belong to the frame before.
        skip_bits: u8,
    },
    /// A frame of a whole object in memory: a deflated one, whose frames have no places.
    Object {
        /// The stored file.
        file: Bytes,
        /// Which frame, from 1.
        number: u32,
    },
}

/// A picture for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The file.
    pub file: Bytes,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A frame in another transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recoded {
    /// Its bytes.
    pub bytes: Bytes,
    /// Photometric Interpretation (0028,0004) that it now has; unchanged when not given.
    pub photometric: Option<String>,
}
