//! Numbers and lists as a report says them.

/// Millimetres as a header gives them: at least one decimal, at most three.
pub(crate) fn millimetres(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0 mm") } else { format!("{text} mm") }
}

/// Millimetres that were computed: no more decimals than the positions deserve.
pub(crate) fn distance(value: f64) -> String {
    if value < 2.0 { millimetres((value * 100.0).round() / 100.0) } else { format!("{value:.1} mm") }
}

/// A number without trailing zeros, at most `decimals` places.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// `1 slice`, `2 slices`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {}", plural(thing)) }
}

/// The plural of the nouns that drafts use.
fn plural(thing: &str) -> String {
    if thing.ends_with("series") { thing.to_owned() } else { format!("{thing}s") }
}

/// The text with a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// One line of text from outside, without control characters, cut at so many characters, ended as a sentence.
pub(crate) fn sentence(text: &str, chars_max: usize) -> Option<String> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let line = words.join(" ");
    if line.is_empty() {
        return None;
    }
    if line.chars().count() > chars_max {
        let cut: String = line.chars().take(chars_max).collect();
        return Some(format!("{} …", cut.trim_end()));
    }
    Some(if line.ends_with(['.', '?', '!']) { line } else { format!("{line}.") })
}

/// A day as a letter has it: `2 March 2026`.
pub(crate) fn day(date: jiff::civil::Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([5.0, 1.25, 0.625, 0.9].map(millimetres), ["5.0 mm", "1.25 mm", "0.625 mm", "0.9 mm"]);
        assert_eq!([4.0018, 0.7999, 1.25].map(distance), ["4.0 mm", "0.8 mm", "1.25 mm"]);
        assert_eq!([number(349.70, 1), number(120.0, 0), number(25.444, 2)], ["349.7", "120", "25.44"]);
    }

    #[test]
    fn lists_and_counts_read_well() {
        let parts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&parts[..1]), list(&parts[..2]), list(&parts)], ["a", "a and b", "a, b and c"]);
        assert_eq!(
            [counted(1, "slice"), counted(2, "slice"), counted(3, "series")],
            ["1 slice", "2 slices", "3 series"]
        );
    }

    #[test]
    fn outside_text_becomes_one_bounded_sentence() {
        assert_eq!(
            sentence("Headache,\r\n since  two days", 100).as_deref(),
            Some("Headache, since two days.")
        );
        assert_eq!(sentence("Stroke?", 100).as_deref(), Some("Stroke?"));
        assert_eq!(sentence(&"x".repeat(50), 10).as_deref(), Some("xxxxxxxxxx …"));
        assert_eq!(sentence(" \u{7} ", 10), None);
        assert_eq!(day("2026-03-02".parse().unwrap()), "2 March 2026");
    }
}
