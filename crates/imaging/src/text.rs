//! Character sets: the bytes of a text value as UTF-8 (PS3.5 section 6.1, PS3.3 section C.12.1.1.2), with the escape sequences of
//! ISO 2022. Never an error: what no character set explains becomes U+FFFD.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec as _};
use domain::text::CharacterSetRule;

/// What stands for bytes that mean nothing.
const REPLACEMENT: char = '\u{FFFD}';
const ESCAPE: u8 = 0x1B;

/// The character sets of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct CharacterSets {
    initial: Set,
    /// Whether escape sequences switch between sets: more than one is named, or the one is an ISO 2022 one.
    extended: bool,
    /// A person has said so: what the bytes look like does not count.
    forced: bool,
}

/// One coded character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// None declared, or ISO IR 6. High bytes are against the rules; they are taken for UTF-8 where they are that, else for Latin 1.
    Undeclared,
    Utf8,
    /// One byte a character, by its defined term.
    Single(&'static str),
    /// Latin 5 and Latin 9, which differ from Latin 1 in a few places.
    Latin(&'static [(u8, char)]),
    /// Two bytes a character, both high (94×94 sets in G1), by defined term.
    Double(&'static str),
    /// GB 18030 and GBK, in which a second byte may be a backslash.
    Chinese(&'static str),
    /// JIS X 0208 in G0: two bytes a character, both low.
    Kanji,
    /// JIS X 0212 in G0, for which there is no table here.
    SupplementaryKanji,
}

const LATIN_5: &[(u8, char)] =
    &[(0xD0, 'Ğ'), (0xDD, 'İ'), (0xDE, 'Ş'), (0xF0, 'ğ'), (0xFD, 'ı'), (0xFE, 'ş')];
const LATIN_9: &[(u8, char)] =
    &[(0xA4, '€'), (0xA6, 'Š'), (0xA8, 'š'), (0xB4, 'Ž'), (0xB8, 'ž'), (0xBC, 'Œ'), (0xBD, 'œ'), (0xBE, 'Ÿ')];

impl Default for CharacterSets {
    fn default() -> Self {
        Self { initial: Set::Undeclared, extended: false, forced: false }
    }
}

impl CharacterSets {
    /// Reads a value of Specific Character Set (0008,0005). A term that is not known counts as none.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value);
        let terms: Vec<&str> = terms(&value).collect();
        let initial = terms.first().and_then(|term| Set::of_term(term)).unwrap_or(Set::Undeclared);
        let extended = terms.len() > 1 || terms.iter().any(|term| term.starts_with("ISO 2022"));
        Self { initial, extended, forced: false }
    }

    /// The character sets of a data set whose header has this value, or none, under the rule of its device.
    #[must_use]
    pub fn under(value: Option<&[u8]>, rule: Option<&CharacterSetRule>) -> Self {
        match (value, rule) {
            (_, Some(rule)) if rule.is_forced() => {
                Self { forced: true, ..Self::parse(rule.terms().as_bytes()) }
            }
            (value, Some(rule)) if !value.is_some_and(names_some) => Self::parse(rule.terms().as_bytes()),
            (Some(value), _) => Self::parse(value),
            (None, _) => Self::default(),
        }
    }

    /// Whether terms joined by backslashes, as (0008,0005) has them, name character sets that are read here.
    #[must_use]
    pub fn are_known(text: &str) -> bool {
        names_some(text.as_bytes()) && terms(text).all(|term| Set::of_term(term).is_some())
    }

    /// A text value as UTF-8. `delimiters` are the characters besides backslash and line controls that end the reach of an escape
    /// sequence: `^=` in person names, nothing elsewhere (PS3.5 section 6.1.2.5.3).
    #[must_use]
    pub fn decode(&self, bytes: &[u8], delimiters: &[u8]) -> String {
        if bytes.is_ascii() && (!self.extended || !bytes.contains(&ESCAPE)) {
            // Plain ASCII is the same in all sets but the Japanese one, whose backslash and tilde are the yen sign and overline
            // in print and stay what they are here.
            return bytes.iter().copied().map(char::from).collect();
        }
        match self.initial {
            Set::Utf8 => return String::from_utf8_lossy(bytes).into_owned(),
            Set::Chinese(term) if !self.extended => {
                let mut text = String::with_capacity(bytes.len());
                chinese(bytes, term, &mut text);
                return text;
            }
            Set::Undeclared if !self.extended || !bytes.contains(&ESCAPE) => {
                return std::str::from_utf8(bytes)
                    .map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned);
            }
            // What a header of a Latin set says is often not so, and text of such a set is hardly ever UTF-8 by accident: capital
            // letters with accents would have to stand before signs. For other sets that is not so.
            set if set.is_latin() && !self.forced && !bytes.contains(&ESCAPE) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    return text.to_owned();
                }
            }
            Set::Undeclared
            | Set::Single(_)
            | Set::Latin(_)
            | Set::Double(_)
            | Set::Chinese(_)
            | Set::Kanji
            | Set::SupplementaryKanji => {}
        }
        self.decode_switching(bytes, delimiters)
    }

    /// A text as bytes of the one set that this is; `None` when it cannot be said in it, or escape sequences would be needed.
    #[must_use]
    pub fn encode(&self, text: &str) -> Option<Vec<u8>> {
        if text.is_ascii() {
            return Some(text.as_bytes().to_vec());
        }
        if self.extended {
            return None;
        }
        let coded = |term| SpecificCharacterSet::from_code(term)?.encode(text).ok();
        let bytes = match self.initial {
            Set::Utf8 => Some(text.as_bytes().to_vec()),
            Set::Single(term) | Set::Chinese(term) => coded(term),
            Set::Latin(table) => text.chars().map(|c| latin(table, c)).collect(),
            Set::Undeclared | Set::Double(_) | Set::Kanji | Set::SupplementaryKanji => None,
        }?;
        // What a codec cannot say it replaces.
        (self.decode(&bytes, b"^=") == text).then_some(bytes)
    }

    fn decode_switching(&self, bytes: &[u8], delimiters: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        let start = match self.initial {
            // Kanji may be named first; a value still begins in ASCII until an escape sequence says otherwise.
            Set::Kanji | Set::SupplementaryKanji => Set::Undeclared,
            set => set,
        };
        let (mut low, mut high) = (None, start);
        let mut rest = bytes;
        while let [first, ..] = rest {
            if self.extended && *first == ESCAPE {
                let (length, switch) = escape(rest);
                match switch {
                    Some(Switch::Low(set)) => low = set,
                    Some(Switch::High(set)) => high = set,
                    None => text.push(REPLACEMENT),
                }
                rest = &rest[length..];
                continue;
            }
            if low.is_none()
                && (matches!(*first, b'\\' | b'\n' | 0x0C | b'\r' | b'\t') || delimiters.contains(first))
            {
                high = start;
                text.push(char::from(*first));
                rest = &rest[1..];
                continue;
            }
            if matches!(*first, b'\n' | b'\r') {
                (low, high) = (None, start);
            }
            let set = if *first < 0x80 { low } else { Some(high) };
            rest = &rest[character(set, rest, &mut text)..];
        }
        text
    }
}

/// The terms of a value of (0008,0005).
fn terms(value: &str) -> impl Iterator<Item = &str> {
    value.split('\\').map(|term| term.trim_matches(|c: char| c.is_whitespace() || c == '\0'))
}

/// Whether a value of (0008,0005) names a character set that is known, be it the default one.
fn names_some(value: &[u8]) -> bool {
    terms(&String::from_utf8_lossy(value)).any(|term| !term.is_empty() && Set::of_term(term).is_some())
}

impl Set {
    /// The set of a defined term, with the slips that devices make in writing it; `None` when it is not known.
    fn of_term(term: &str) -> Option<Self> {
        Some(match term.to_ascii_uppercase().replace(['_', '-'], " ").as_str() {
            "" | "ISO IR 6" | "ISO 2022 IR 6" => Self::Undeclared,
            "ISO IR 192" | "ISO 2022 IR 192" | "UTF 8" | "UTF8" => Self::Utf8,
            "ISO IR 13" | "ISO 2022 IR 13" => Self::Single("ISO_IR 13"),
            "ISO IR 100" | "ISO 2022 IR 100" => Self::Single("ISO_IR 100"),
            "ISO IR 101" | "ISO 2022 IR 101" => Self::Single("ISO_IR 101"),
            "ISO IR 109" | "ISO 2022 IR 109" => Self::Single("ISO_IR 109"),
            "ISO IR 110" | "ISO 2022 IR 110" => Self::Single("ISO_IR 110"),
            "ISO IR 126" | "ISO 2022 IR 126" => Self::Single("ISO_IR 126"),
            "ISO IR 127" | "ISO 2022 IR 127" => Self::Single("ISO_IR 127"),
            "ISO IR 138" | "ISO 2022 IR 138" => Self::Single("ISO_IR 138"),
            "ISO IR 144" | "ISO 2022 IR 144" => Self::Single("ISO_IR 144"),
            "ISO IR 148" | "ISO 2022 IR 148" => Self::Latin(LATIN_5),
            "ISO IR 166" | "ISO 2022 IR 166" => Self::Single("ISO_IR 166"),
            "ISO IR 203" | "ISO 2022 IR 203" => Self::Latin(LATIN_9),
            "ISO IR 149" | "ISO 2022 IR 149" => Self::Double("ISO_IR 149"),
            "ISO IR 58" | "ISO 2022 IR 58" => Self::Double("GBK"),
            "ISO IR 87" | "ISO 2022 IR 87" => Self::Kanji,
            "ISO IR 159" | "ISO 2022 IR 159" => Self::SupplementaryKanji,
            "GB18030" => Self::Chinese("GB18030"),
            "GBK" | "GB2312" => Self::Chinese("GBK"),
            _ => return None,
        })
    }

    fn is_latin(self) -> bool {
        matches!(
            self,
            Self::Latin(_) | Self::Single("ISO_IR 100" | "ISO_IR 101" | "ISO_IR 109" | "ISO_IR 110")
        )
    }
}

/// What an escape sequence switches: the meaning of low bytes (G0; `None` is ASCII) or of high bytes (G1).
enum Switch {
    Low(Option<Set>),
    High(Set),
}

/// Reads an escape sequence (PS3.3 tables C.12-3 and C.12-4): its length and what it switches.
fn escape(bytes: &[u8]) -> (usize, Option<Switch>) {
    use Switch::{High, Low};
    let single = |term| High(Set::Single(term));
    match &bytes[1..] {
        [b'(', b'B' | b'J', ..] => (3, Some(Low(None))),
        [b')', b'I', ..] => (3, Some(single("ISO_IR 13"))),
        [b'-', set, ..] => {
            let switch = match set {
                b'A' => single("ISO_IR 100"),
                b'B' => single("ISO_IR 101"),
                b'C' => single("ISO_IR 109"),
                b'D' => single("ISO_IR 110"),
                b'L' => single("ISO_IR 144"),
                b'G' => single("ISO_IR 127"),
                b'F' => single("ISO_IR 126"),
                b'H' => single("ISO_IR 138"),
                b'M' => High(Set::Latin(LATIN_5)),
                b'b' => High(Set::Latin(LATIN_9)),
                b'T' => single("ISO_IR 166"),
                _ => return (3, None),
            };
            (3, Some(switch))
        }
        [b'$', b'B' | b'@', ..] => (3, Some(Low(Some(Set::Kanji)))),
        [b'$', b'(', b'D', ..] => (4, Some(Low(Some(Set::SupplementaryKanji)))),
        [b'$', b')', b'C', ..] => (4, Some(High(Set::Double("ISO_IR 149")))),
        [b'$', b')', b'A', ..] => (4, Some(High(Set::Double("GBK")))),
        _ => (1, None),
    }
}

/// Decodes one character of a set (`None` is ASCII) and says how many bytes it took.
fn character(set: Option<Set>, bytes: &[u8], text: &mut String) -> usize {
    let first = bytes[0];
    let Some(set) = set else {
        text.push(char::from(first));
        return 1;
    };
    match set {
        Set::Undeclared | Set::Utf8 => {
            text.push(char::from(first));
            1
        }
        Set::Single(term) => {
            push_decoded(term, &bytes[..1], text);
            1
        }
        Set::Latin(differences) => {
            let other = differences.iter().find(|(byte, _)| *byte == first);
            text.push(other.map_or(char::from(first), |(_, c)| *c));
            1
        }
        Set::Double(term) | Set::Chinese(term) => match bytes {
            [_, second @ 0x80..=0xFF, ..] => {
                push_decoded(term, &[first, *second], text);
                2
            }
            _ => {
                text.push(REPLACEMENT);
                1
            }
        },
        Set::Kanji => match bytes {
            [0x21..=0x7E, second @ 0x21..=0x7E, ..] => {
                let coded = [ESCAPE, b'$', b'B', first, *second, ESCAPE, b'(', b'B'];
                push_decoded("ISO 2022 IR 87", &coded, text);
                2
            }
            _ => {
                text.push(if first.is_ascii_control() || first == b' ' {
                    char::from(first)
                } else {
                    REPLACEMENT
                });
                1
            }
        },
        Set::SupplementaryKanji => {
            text.push(REPLACEMENT);
            if bytes.len() > 1 { 2 } else { 1 }
        }
    }
}

/// A character of Latin 1 with a few other ones.
fn latin(table: &[(u8, char)], character: char) -> Option<u8> {
    let other = table.iter().find(|(_, other)| *other == character);
    match other {
        Some((byte, _)) => Some(*byte),
        None => u8::try_from(character).ok().filter(|byte| table.iter().all(|(taken, _)| taken != byte)),
    }
}

/// GB 18030 and GBK: one, two or four bytes a character; a backslash counts only where a character may begin.
fn chinese(mut bytes: &[u8], term: &str, text: &mut String) {
    while let [first, ..] = bytes {
        let length = match bytes {
            [0x81..=0xFE, 0x30..=0x39, 0x81..=0xFE, 0x30..=0x39, ..] => 4,
            [0x81..=0xFE, 0x40..=0x7E | 0x80..=0xFE, ..] => 2,
            _ => 1,
        };
        match (length, first) {
            (1, ..0x80) => text.push(char::from(*first)),
            (1, _) => text.push(REPLACEMENT),
            _ => push_decoded(term, &bytes[..length], text),
        }
        bytes = &bytes[length..];
    }
}

/// Decodes one character by a codec, which writes bytes that it does not know as `\ooo`.
fn push_decoded(term: &str, bytes: &[u8], text: &mut String) {
    let decoded = SpecificCharacterSet::from_code(term).and_then(|codec| codec.decode(bytes).ok());
    match decoded {
        Some(decoded) if !decoded.starts_with('\\') && !decoded.is_empty() => text.push_str(&decoded),
        Some(_) | None => text.push(REPLACEMENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(sets: &str, bytes: &[u8]) -> String {
        CharacterSets::parse(sets.as_bytes()).decode(bytes, b"^=")
    }

    #[test]
    fn one_set_decodes() {
        assert_eq!(name("ISO_IR 100", b"Buc^J\xE9r\xF4me"), "Buc^Jérôme");
        assert_eq!(name("ISO_IR 148", b"\xDDstanbul \xF0"), "İstanbul ğ");
        assert_eq!(name("ISO_IR 144", &[0xBB, 0xEE, 0xDA, 0x63, 0x65, 0xDC, 0xD1]), "Люкceмб");
        assert_eq!(name("ISO_IR 192", "Wang^XiaoDong=王^小東".as_bytes()), "Wang^XiaoDong=王^小東");
        assert_eq!(name("ISO_IR 192", b"J\xE9r\xF4me"), "J\u{FFFD}r\u{FFFD}me");
        assert_eq!(name("GB18030", &[0xCD, 0xF5, 0x5E, 0xD0, 0xA1, 0xB6, 0xAB]), "王^小东");
        assert_eq!(name("ISO_IR 13", &[0xD4, 0xCF, 0xC0, 0xDE, b'^', 0xC0, 0xDB, 0xB3]), "ﾔﾏﾀﾞ^ﾀﾛｳ");
    }

    #[test]
    fn what_a_set_can_say_is_encoded() {
        for (set, text) in [
            ("ISO_IR 100", "Müller^Jürgen"),
            ("ISO_IR 192", "山田^太郎"),
            ("ISO_IR 144", "Люкceмбypг"),
            ("ISO_IR 148", "Çavuşoğlu"),
            ("GB18030", "王^小东"),
            ("", "Doe^Jane"),
            ("\\ISO 2022 IR 87", "Doe^Jane"),
        ] {
            let sets = CharacterSets::parse(set.as_bytes());
            let bytes = sets.encode(text).unwrap_or_else(|| panic!("{set} {text}"));
            assert_eq!(sets.decode(&bytes, b"^="), text, "{set}");
        }
        for (set, text) in
            [("ISO_IR 100", "山田"), ("", "Müller"), ("ISO_IR 144", "Müller"), ("ISO 2022 IR 100", "Müller")]
        {
            assert_eq!(CharacterSets::parse(set.as_bytes()).encode(text), None, "{set} {text}");
        }
    }

    #[test]
    fn nothing_declared_is_utf8_or_latin_1() {
        assert_eq!(name("", "Müller".as_bytes()), "Müller");
        assert_eq!(name("", b"M\xFCller"), "Müller");
        assert_eq!(name("NONSENSE", b"M\xFCller"), "Müller");
        assert_eq!(
            name("\\ISO 2022 IR 87", "Müller".as_bytes()),
            "Müller",
            "no escape sequence, so not what is named"
        );
    }

    #[test]
    fn a_latin_header_that_lies_is_seen_through_and_others_are_believed() {
        for sets in ["ISO_IR 100", "ISO_IR 101", "ISO_IR 148", "ISO 2022 IR 100", "iso-ir 100"] {
            assert_eq!(name(sets, "Müller".as_bytes()), "Müller", "{sets}");
        }
        assert_eq!(name("ISO_IR 192", b"M\xFCller"), "M\u{FFFD}ller");
        // `\u{5D0}` in UTF-8 is two letters of a Cyrillic name.
        assert_eq!(name("ISO_IR 144", &[0xD7, 0x90]), "з\u{90}");
        assert_eq!(name("GB18030", &[0xC2, 0xBD]), "陆");
    }

    #[test]
    fn a_rule_is_assumed_or_forced() {
        let decode = |value: Option<&str>, rule: &str, bytes: &[u8]| {
            let rule = CharacterSetRule::parse(rule).unwrap();
            CharacterSets::under(value.map(str::as_bytes), Some(&rule)).decode(bytes, b"^=")
        };
        let cyrillic = &[0xBB, 0xEE, 0xDA, 0x63, 0x65, 0xDC, 0xD1];
        for (value, rule, bytes, text) in [
            (None, "assume ISO_IR 144", &cyrillic[..], "Люкceмб"),
            (Some(" "), "assume ISO_IR 144", cyrillic, "Люкceмб"),
            (Some("NONSENSE"), "assume ISO_IR 144", cyrillic, "Люкceмб"),
            (Some("ISO_IR 100"), "assume ISO_IR 144", cyrillic, "»îÚceÜÑ"),
            (Some("ISO_IR 6"), "assume ISO_IR 144", cyrillic, "»îÚceÜÑ"),
            (Some("ISO_IR 100"), "force ISO_IR 144", cyrillic, "Люкceмб"),
            (Some("ISO_IR 192"), "force ISO_IR 100", b"M\xFCller", "Müller"),
            (None, "assume ISO_IR 100", "Müller".as_bytes(), "Müller"),
            (None, "force ISO_IR 100", "Müller".as_bytes(), "MÃ¼ller"),
            (None, "assume \\ISO 2022 IR 149", b"\x1b$)C\xFB\xF3", "洪"),
        ] {
            assert_eq!(decode(value, rule, bytes), text, "{value:?} {rule}");
        }
        for (terms, known) in [
            ("ISO_IR 100", true),
            ("\\ISO 2022 IR 87", true),
            ("ISO_IR 6", true),
            ("", false),
            ("ISO_IR 1", false),
            ("GBK\\X", false),
        ] {
            assert_eq!(CharacterSets::are_known(terms), known, "{terms}");
        }
    }

    #[test]
    fn escape_sequences_switch_and_end_at_delimiters() {
        // PS3.5 annex H.3.1 and I.2.
        let yamada = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        assert_eq!(name("\\ISO 2022 IR 87", yamada), "Yamada^Tarou=山田^太郎=やまだ^たろう");
        let hong =
            b"Hong^Gildong=\x1b$)C\xFB\xF3^\x1b$)C\xD1\xCE\xD4\xD7=\x1b$)C\xC8\xAB^\x1b$)C\xB1\xE6\xB5\xBF";
        assert_eq!(name("\\ISO 2022 IR 149", hong), "Hong^Gildong=洪^吉洞=홍^길동");
        // After the delimiter the escape sequence has no reach: the high byte is not Korean.
        let lost = name("\\ISO 2022 IR 149", b"\x1b$)C\xFB\xF3^\xFB\xF3");
        assert_eq!(lost, "洪^ûó");
    }

    #[test]
    fn broken_bytes_are_replaced_and_never_split_a_value() {
        for sets in
            ["ISO_IR 126", "GB18030", "ISO_IR 149", "\\ISO 2022 IR 87", "\\ISO 2022 IR 159", "ISO_IR 13"]
        {
            let bytes: Vec<u8> = (0x80..=0xFF).chain([ESCAPE, b'$', b'B', 0x80, ESCAPE]).collect();
            assert!(!name(sets, &bytes).contains('\\'), "{sets}");
        }
        assert_eq!(name("\\ISO 2022 IR 87", b"\x1b?A"), "\u{FFFD}?A");
    }
}
