//! Short texts of the protocol: unique identifiers, application entity titles, comments.
//! Not for text of a data set, which has character sets.

/// Longest unique identifier, in characters (PS3.5 section 9.1).
pub const MAX_UID_LENGTH: usize = 64;

/// Longest application entity title, in characters (PS3.5 table 6.2-1, AE; PS3.8 table 9-11).
pub const MAX_AE_TITLE_LENGTH: usize = 16;

/// Longest Error Comment, in characters (PS3.5 table 6.2-1, LO).
pub const MAX_ERROR_COMMENT_LENGTH: usize = 64;

/// Whether a text is 1 to 64 digits and dots: what is safe to keep and to compare, not whether every component is
/// without a leading zero, because identifiers with such components exist in practice.
#[must_use]
pub fn is_uid(text: &str) -> bool {
    (1..=MAX_UID_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Whether a text is 1 to 16 characters that an application entity title may have (PS3.5 table 6.2-1: the default
/// repertoire without backslash and control characters, not only spaces).
#[must_use]
pub fn is_ae_title(text: &str) -> bool {
    (1..=MAX_AE_TITLE_LENGTH).contains(&text.len())
        && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\')
        && !text.trim_matches(' ').is_empty()
}

/// Whether two application entity titles are the same: spaces around them do not count, case does (PS3.5 section 6.2).
#[must_use]
pub fn same_ae_title(left: &str, right: &str) -> bool {
    trim(left) == trim(right)
}

/// Text without the padding that senders use on either side: spaces and, for identifiers, zero bytes.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c == ' ' || c == '\0')
}

/// Reads bytes of the default repertoire; what lies beyond it becomes the Latin-1 character, so nothing is lost.
pub(crate) fn from_bytes(bytes: &[u8]) -> String {
    trim(&bytes.iter().map(|b| char::from(*b)).collect::<String>()).to_owned()
}

/// Makes a text fit an LO element of the default repertoire: cut at 64 characters, other characters as `?`.
pub(crate) fn error_comment(text: &str) -> String {
    text.chars()
        .take(MAX_ERROR_COMMENT_LENGTH)
        .map(|c| if (' '..='~').contains(&c) && c != '\\' { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ae_titles_compare_trimmed() {
        assert!(same_ae_title(" TELERAD", "TELERAD         "));
        assert!(same_ae_title("TELE RAD", "TELE RAD "));
        assert!(!same_ae_title("telerad", "TELERAD"));
        assert!(!same_ae_title("", "TELERAD"));
    }

    #[test]
    fn ae_title_forms() {
        for (text, expected) in [
            ("A", true),
            ("", false),
            ("   ", false),
            ("ABCDEFGHIJKLMNOP", true),
            ("ABCDEFGHIJKLMNOPQ", false),
            ("A\\B", false),
            ("Ä", false),
            ("A\n", false),
        ] {
            assert_eq!(is_ae_title(text), expected, "{text:?}");
        }
    }

    #[test]
    fn comments_are_cut_and_cleaned() {
        assert_eq!(error_comment("a\\b\nc\u{e9}"), "a?b?c?");
        assert_eq!(error_comment(&"x".repeat(100)).len(), 64);
    }
}
