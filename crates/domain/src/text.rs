//! Short texts from outside: names and numbers of patients, which never show in a log, and titles of peers.

use std::fmt;

/// Most bytes of one such text in the catalog; what the images say in full stays in the images.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Cuts a text at [`TEXT_BYTES_MAX`] on a character boundary and drops control characters and outer padding.
#[must_use]
pub fn bounded(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    for c in text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).chars().filter(|c| !c.is_control()) {
        if clean.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        clean.push(c);
    }
    clean
}

macro_rules! private_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Its `Debug` hides the value, so that it cannot reach a log by accident.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Takes a text, without padding and control characters, cut at [`TEXT_BYTES_MAX`]; `None` when nothing is left.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                let text = bounded(text);
                (!text.is_empty()).then_some(Self(text))
            }

            /// The value, for a page, a query or a report; never for a log.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(hidden)"))
            }
        }
    };
}

private_text!(
    /// Patient ID (0010,0020), as the centre gives it.
    PatientId
);
private_text!(
    /// A person's name in the DICOM form `Family^Given^Middle^Prefix^Suffix`, groups parted by `=` (PS3.5 section 6.2.1).
    PersonName
);
private_text!(
    /// Accession Number (0008,0050).
    AccessionNumber
);

impl PersonName {
    /// The alphabetic group (or the first that is not empty) as a person reads it: prefix, given names, family name, suffix.
    #[must_use]
    pub fn display(&self) -> String {
        let group = self.0.split('=').find(|group| !group.trim().is_empty()).unwrap_or_default();
        let part = |n: usize| group.split('^').nth(n).unwrap_or_default().trim();
        let ordered = [part(3), part(1), part(2), part(0), part(4)];
        ordered.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// A form for comparing names: lower case, only letters, parts of the alphabetic group without prefix and suffix, sorted.
    #[must_use]
    pub fn comparable(&self) -> Vec<String> {
        let group = self.0.split('=').find(|group| !group.trim().is_empty()).unwrap_or_default();
        let named: Vec<&str> = group.split('^').take(3).collect();
        let mut words: Vec<String> = named
            .iter()
            .flat_map(|part| part.split([' ', '-', ',']))
            .map(|word| {
                word.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect::<String>()
            })
            .filter(|word| !word.is_empty() && !matches!(word.as_str(), "dr" | "prof" | "md"))
            .collect();
        words.sort();
        words
    }
}

/// An application entity title (PS3.5 VR AE): 1 to 16 characters, compared without outer spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AeTitle(String);

impl AeTitle {
    /// Reads a title; outer spaces do not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(['\0', ' ']);
        let good = !text.is_empty()
            && text.len() <= 16
            && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
        good.then(|| Self(text.to_owned()))
    }

    /// The title without padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Most characters of the terms of a [`CharacterSetRule`].
pub const CHARACTER_SET_CHARS_MAX: usize = 128;

/// How texts of a device are read whose headers say nothing or lie about it. It is for what we index and show; bytes stay as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterSetRule {
    terms: String,
    forced: bool,
}

impl CharacterSetRule {
    /// A rule of one or more defined terms joined by a backslash, as Specific Character Set (0008,0005) has them. `forced` says
    /// that they count whatever a header says; else they count where it names none. `None` when the text has not the form of terms.
    #[must_use]
    pub fn new(terms: &str, forced: bool) -> Option<Self> {
        let is_plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_ \\".contains(&b);
        let fits = (1..=CHARACTER_SET_CHARS_MAX).contains(&terms.len()) && terms.bytes().all(is_plain);
        fits.then(|| Self { terms: terms.to_owned(), forced })
    }

    /// Reads what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("assume", terms) => Self::new(terms, false),
            ("force", terms) => Self::new(terms, true),
            _ => None,
        }
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &str {
        &self.terms
    }

    /// Whether they count whatever a header says.
    #[must_use]
    pub const fn is_forced(&self) -> bool {
        self.forced
    }
}

impl fmt::Display for CharacterSetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.forced { "force" } else { "assume" }, self.terms)
    }
}

/// A mail address: one `@`, no spaces, no control characters, at most 254 bytes (RFC 5321 section 4.5.3.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, host) = text.split_once('@')?;
        let plain = |part: &str| {
            !part.is_empty()
                && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;:\"@".contains(c))
        };
        (text.len() <= 254 && plain(local) && plain(host)).then(|| Self(text.to_owned()))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_people_say_them() {
        for (dicom, shown) in [
            ("Müller^Jürgen", "Jürgen Müller"),
            ("Doe^Jane^A^Dr^Jr", "Dr Jane A Doe Jr"),
            ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Tarou Yamada"),
            ("=山田^太郎", "太郎 山田"),
            ("SMITH", "SMITH"),
        ] {
            assert_eq!(PersonName::new(dicom).unwrap().display(), shown);
        }
    }

    #[test]
    fn names_compare_without_order_and_titles() {
        let same = |a: &str, b: &str| {
            PersonName::new(a).unwrap().comparable() == PersonName::new(b).unwrap().comparable()
        };
        assert!(same("Doe^Jane", "DOE^JANE"));
        assert!(same("Doe^Jane", "Dr Jane Doe"));
        assert!(!same("Doe^Jane", "Doe^John"));
    }

    #[test]
    fn private_text_hides_in_debug() {
        assert!(!format!("{:?}", PatientId::new("12345").unwrap()).contains("12345"));
        assert!(PatientId::new(" \0").is_none());
        assert_eq!(PatientId::new(&"é".repeat(2000)).unwrap().as_str().len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn character_set_rules_read_back() {
        for (terms, forced) in [("ISO_IR 100", true), ("\\ISO 2022 IR 87", false), ("GB18030", false)] {
            let rule = CharacterSetRule::new(terms, forced).unwrap();
            assert_eq!(CharacterSetRule::parse(&rule.to_string()), Some(rule));
        }
        for bad in [
            "",
            "force",
            "force ",
            "perhaps ISO_IR 100",
            "assume latin1",
            &format!("force {}", "A".repeat(129)),
        ] {
            assert_eq!(CharacterSetRule::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_and_titles() {
        for (text, good) in
            [("a@b.example", true), ("a b@c", false), ("a@b@c", false), ("", false), ("a@b\r\nBcc: x", false)]
        {
            assert_eq!(EmailAddress::parse(text).is_some(), good, "{text:?}");
        }
        assert_eq!(AeTitle::parse(" CT_1 ").unwrap().as_str(), "CT_1");
        assert!(AeTitle::parse("SEVENTEEN_LETTERS").is_none());
    }
}
