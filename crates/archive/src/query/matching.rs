//! How a value of a query is compared with what is known (PS3.4 section C.2.2.2): lists of UIDs, wild cards,
//! ranges of dates and times. Names are compared without regard to case, everything else exactly. Fuzzy
//! matching compares the beginnings of a name's words.

use jiff::civil::Date;
use serde_json::Value;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::attributes::{Attribute, Kind};

/// Most values of a list.
const VALUES_MAX: usize = 500;
/// Digits of a time with its fraction: HHMMSSFFFFFF.
const TIME_DIGITS: usize = 12;

/// What a value must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Anything, even nothing.
    Any,
    /// Exactly one of these.
    OneOf(Vec<String>),
    /// From and to, inclusive.
    Dates(Option<Date>, Option<Date>),
    /// From and to, inclusive, as twelve digits.
    Times(String, String),
    /// This number.
    Number(i64),
    /// With `*` and `?`.
    Text(String),
    /// With `*` and `?`, without regard to case.
    Name(String),
    /// Each of these words begins one of the name's, without regard to case, accents and order.
    Fuzzy(Vec<String>),
}

impl Pattern {
    /// Reads a value; `None` when it is none of its kind.
    pub(crate) fn read(attribute: &Attribute, value: &str) -> Option<Self> {
        let value = value.trim();
        if value.is_empty() || value.bytes().all(|b| b == b'*') {
            return Some(Self::Any);
        }
        match attribute.kind {
            Kind::Uid => list(value, |uid| domain::uid::SopInstanceUid::parse(uid).is_ok()).map(Self::OneOf),
            Kind::Code if value.contains(['*', '?']) => Some(Self::Text(value.to_owned())),
            Kind::Code => list(value, |code| code.len() <= 16).map(Self::OneOf),
            Kind::Date => {
                let (from, to) =
                    range(value, |date| Date::strptime("%Y%m%d", date).ok().filter(|_| date.len() == 8))?;
                Some(Self::Dates(from, to))
            }
            Kind::Time => {
                let (from, to) = range(value, |time| is_time(time).then(|| time.to_owned()))?;
                let digits = |time: Option<String>, pad: char| time_digits(&time.unwrap_or_default(), pad);
                Some(Self::Times(digits(from, '0'), digits(to, '9')))
            }
            Kind::Number => value.parse().ok().map(Self::Number),
            Kind::Text => Some(Self::Text(value.to_owned())),
            Kind::Name => Some(Self::Name(value.to_owned())),
            Kind::Items => None,
        }
    }

    /// The same for fuzzy matching, which is of names alone (PS3.18 section 8.3.4.2).
    pub(crate) fn fuzzy(self) -> Self {
        match self {
            Self::Name(text) => Self::Fuzzy(words(&text)),
            other => other,
        }
    }

    /// Adds the values of a list; `None` when this is no list.
    pub(crate) fn add(&mut self, other: Self) -> Option<()> {
        match (self, other) {
            (Self::OneOf(known), Self::OneOf(more)) if known.len() + more.len() <= VALUES_MAX => {
                known.extend(more);
                Some(())
            }
            _ => None,
        }
    }

    /// Whether one of the values is like this.
    pub(crate) fn matches(&self, values: &[Value]) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(wanted) => any(values, |value| wanted.iter().any(|wanted| wanted == value)),
            Self::Dates(from, to) => any(values, |value| {
                let Ok(date) = Date::strptime("%Y%m%d", value) else { return false };
                from.is_none_or(|from| from <= date) && to.is_none_or(|to| date <= to)
            }),
            Self::Times(from, to) => any(values, |value| {
                let time = time_digits(value, '0');
                *from <= time && time <= *to
            }),
            Self::Number(number) => values.iter().any(|value| value.as_i64() == Some(*number)),
            Self::Text(pattern) => any(values, |value| is_like(value, pattern)),
            Self::Name(pattern) => {
                let pattern = pattern.to_lowercase();
                values.iter().any(|name| is_name_like(name, &pattern))
            }
            Self::Fuzzy(wanted) => values.iter().any(|name| {
                let groups = ["Alphabetic", "Ideographic", "Phonetic"];
                let groups = groups.iter().filter_map(|group| name.get(group)?.as_str());
                let of_name: Vec<String> = groups.flat_map(words).collect();
                wanted.iter().all(|wanted| of_name.iter().any(|word| word.starts_with(wanted)))
            }),
        }
    }
}

/// The words of a name in small letters, without accents.
fn words(text: &str) -> Vec<String> {
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a name has a group that is like a pattern; a pattern of several groups is one for each.
fn is_name_like(name: &Value, pattern: &str) -> bool {
    let groups = ["Alphabetic", "Ideographic", "Phonetic"];
    let mut groups =
        groups.map(|group| name.get(group).and_then(Value::as_str).map(str::to_lowercase)).into_iter();
    if pattern.contains('=') {
        return pattern.split('=').zip(groups).all(|(part, group)| is_like(&group.unwrap_or_default(), part));
    }
    groups.any(|group| group.is_some_and(|group| is_like(&group, pattern)))
}

fn any(values: &[Value], is_wanted: impl Fn(&str) -> bool) -> bool {
    values.iter().filter_map(Value::as_str).any(is_wanted)
}

fn list(value: &str, is_good: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let values: Vec<String> = value.split([',', '\\']).map(|value| value.trim().to_owned()).collect();
    let is_list =
        values.len() <= VALUES_MAX && values.iter().all(|value| !value.is_empty() && is_good(value));
    is_list.then_some(values)
}

/// `A`, `A-B`, `A-` or `-B`.
fn range<T: Clone + PartialOrd>(
    value: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<(Option<T>, Option<T>)> {
    let Some((from, to)) = value.split_once('-') else {
        let only = read(value)?;
        return Some((Some(only.clone()), Some(only)));
    };
    let end = |text: &str| match text.trim() {
        "" => Some(None),
        text => read(text).map(Some),
    };
    let (from, to) = (end(from)?, end(to)?);
    let is_empty = from.is_none() && to.is_none();
    let is_backwards = from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| from > to);
    (!is_empty && !is_backwards).then_some((from, to))
}

/// `HH`, `HHMM`, `HHMMSS` with or without a fraction.
fn is_time(time: &str) -> bool {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    matches!(whole.len(), 2 | 4 | 6) && is_digits(whole) && fraction.len() <= 6 && is_digits(fraction)
}

fn time_digits(time: &str, pad: char) -> String {
    let digits = time.chars().filter(char::is_ascii_digit);
    digits.chain(std::iter::repeat(pad)).take(TIME_DIGITS).collect()
}

/// Whether a text is like a pattern with `*` for any run and `?` for one character. Takes no more steps than
/// text times pattern.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match (pattern.get(next), star) {
            (Some('*'), _) => {
                star = Some((next, at));
                next += 1;
            }
            (Some(c), _) if *c == '?' || *c == text[at] => (at, next) = (at + 1, next + 1),
            (_, Some((place, from))) => {
                star = Some((place, from + 1));
                (at, next) = (from + 1, place + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[next..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;
    use serde_json::json;

    use super::*;
    use crate::query::attributes::attribute;

    fn matches(tag: dicom_core::Tag, pattern: &str, value: Value) -> bool {
        Pattern::read(attribute(tag).unwrap(), pattern).unwrap().matches(&[value])
    }

    #[test]
    fn texts_have_wild_cards() {
        for (pattern, text, expected) in [
            ("a*c", "abbbc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("?b?", "abc", true),
            ("?b?", "ab", false),
            ("*b*b*", "abcb", true),
            ("*b*b*", "abc", false),
            ("abc", "ABC", false),
            ("*", "", true),
            ("?", "é", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn ranges_include_their_ends() {
        for (pattern, expected) in [
            ("20200110", true),
            ("20200110-20200110", true),
            ("-20200110", true),
            ("20200110-", true),
            ("20200111-", false),
            ("-20200109", false),
        ] {
            assert_eq!(matches(tags::STUDY_DATE, pattern, json!("20200110")), expected, "{pattern}");
        }
        for (pattern, expected) in [
            ("10", true),
            ("1030-1031", true),
            ("-103000", true),
            ("1031-", false),
            ("103000.000001-", false),
        ] {
            assert_eq!(matches(tags::STUDY_TIME, pattern, json!("103000")), expected, "{pattern}");
        }
    }

    #[test]
    fn names_match_in_each_group_without_case() {
        let name = json!({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"});
        for (pattern, expected) in [
            ("YAMADA*", true),
            ("山田*", true),
            ("tarou", false),
            ("yamada^tarou", true),
            ("yamada*=山田*", true),
            ("=山田*", false),
        ] {
            assert_eq!(matches(tags::PATIENT_NAME, pattern, name.clone()), expected, "{pattern}");
        }
    }

    #[test]
    fn fuzzy_names_match_word_by_word() {
        let name = json!({"Alphabetic": "Núñez García^María José", "Ideographic": "山田^太郎"});
        for (wanted, expected) in [
            ("nunez", true),
            ("maria nunez", true),
            ("GARC^mar", true),
            ("*jose*", true),
            ("山田", true),
            ("nunez peter", false),
            ("ria", false),
        ] {
            let pattern = Pattern::read(attribute(tags::PATIENT_NAME).unwrap(), wanted).unwrap().fuzzy();
            assert_eq!(pattern.matches(std::slice::from_ref(&name)), expected, "{wanted}");
        }
        assert_eq!(Pattern::Text("a".to_owned()).fuzzy(), Pattern::Text("a".to_owned()));
    }

    #[test]
    fn lists_and_numbers() {
        assert!(matches(tags::MODALITY, "MR\\CT", json!("CT")));
        assert!(!matches(tags::MODALITY, "MR,PT", json!("CT")));
        assert!(matches(tags::MODALITY, "C?", json!("CT")) && !matches(tags::MODALITY, "M*", json!("CT")));
        assert!(matches(tags::INSTANCE_NUMBER, "07", json!(7)));
        for (tag, bad) in [
            (tags::STUDY_DATE, "-"),
            (tags::STUDY_DATE, "20201301"),
            (tags::STUDY_DATE, "20210101-20200101"),
            (tags::STUDY_TIME, "1"),
            (tags::STUDY_TIME, "10:30"),
            (tags::SOP_INSTANCE_UID, "1.2,,1.3"),
            (tags::SOP_INSTANCE_UID, "1.2.*"),
        ] {
            assert_eq!(Pattern::read(attribute(tag).unwrap(), bad), None, "{bad}");
        }
    }
}
