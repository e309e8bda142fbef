//! Media types and media ranges as headers carry them (RFC 9110 sections 8.3.1 and 12.5.1). Not which of them anybody has.

/// Most media ranges of an `Accept` that are looked at.
const RANGES_MAX: usize = 64;

/// A media type with its parameters, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    /// `type/subtype` in lower case, `*` for any.
    pub media_type: String,
    /// Names in lower case, values as they stand without quotes.
    pub parameters: Vec<(String, String)>,
    /// How much it is wanted, in thousandths.
    pub quality: u16,
}

impl MediaRange {
    /// Whatever there is.
    #[must_use]
    pub fn any() -> Self {
        Self { media_type: "*/*".to_owned(), parameters: Vec::new(), quality: 1000 }
    }

    /// The first parameter of a name in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// One media type or range. Values that should have quotes and have none, like `type=application/dicom`, are taken as they stand.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = split(text, ';').into_iter();
        let media_type = pieces.next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = media_type.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut range = Self { media_type, parameters: Vec::new(), quality: 1000 };
        for piece in pieces.filter(|piece| !piece.trim().is_empty()) {
            let (name, value) = piece.split_once('=')?;
            let (name, value) = (name.trim().to_ascii_lowercase(), unquoted(value.trim()));
            if name == "q" {
                range.quality = quality(&value)?;
            } else {
                range.parameters.push((name, value));
            }
        }
        Some(range)
    }

    /// The ranges of an `Accept`, the most wanted first. What cannot be read or is not wanted at all is left out.
    #[must_use]
    pub fn list(text: &str) -> Vec<Self> {
        let mut ranges: Vec<Self> =
            split(text, ',').into_iter().filter_map(Self::parse).take(RANGES_MAX).collect();
        ranges.retain(|range| range.quality > 0);
        // A stable sort: what is wanted as much stands as the client put it.
        ranges.sort_by_key(|range| std::cmp::Reverse(range.quality));
        ranges
    }

    /// Whether it includes a media type.
    #[must_use]
    pub fn includes(&self, media_type: &str) -> bool {
        match self.media_type.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => media_type.split('/').next() == Some(kind),
            None => self.media_type == media_type,
        }
    }
}

/// Splits at a character that does not stand in quotes.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut pieces, mut begin, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            c if c == at && !is_quoted => {
                pieces.push(&text[begin..place]);
                begin = place + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(&text[begin..]);
    pieces
}

/// A value without its quotes. Values that should have quotes and have none, like `type=application/dicom`,
/// are taken as they stand.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

/// A weight (RFC 9110 section 12.4.2) in thousandths.
fn quality(value: &str) -> Option<u16> {
    let weight: f32 = value.parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * 1000.0).round() as u16)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
