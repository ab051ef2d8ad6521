//! A trace as a page that plays it: `docs/loop/player.html` with this trace in place of its
//! example.

use super::json;
use crate::trace::Tick;

const PAGE: &str = include_str!("../../docs/loop/player.html");
/// Behind this stands the trace, an object a line.
const TRACE: &str = "<script type=\"application/x-ndjson\" id=\"trace\">\n";

/// The page up to the trace.
pub(super) fn begin() -> String {
    let before = PAGE.split(TRACE).next().unwrap_or_default();
    format!("{before}{TRACE}")
}

/// The line of one tick. A `<` can end the element that holds the trace, or begin a comment in it,
/// so it is escaped: in JSON it stands within strings only.
pub(super) fn tick(name: Option<&str>, tick: &Tick) -> String {
    json::tick(name, tick).replace('<', "\\u003c")
}

/// The page behind the trace.
pub(super) const END: &str = "</script>\n</body>\n</html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_for_a_trace_and_ends_behind_it() {
        assert_eq!(PAGE.matches(TRACE).count(), 1);
        assert!(begin().len() + END.len() < PAGE.len() && PAGE.ends_with(END));
    }

    #[test]
    fn no_name_of_a_loop_ends_the_element_of_the_trace() {
        let line = tick(Some("</script><!--<script>"), &Tick::default());
        assert!(!line.contains('<') && line.contains("\\u003c/script>"), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["loop"], "</script><!--<script>");
    }
}
