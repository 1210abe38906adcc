//! Pages for people: one file each, nothing loaded from outside. What comes from a log is escaped before it reaches the page.

use std::fmt::Write as _;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("table.js");

/// Bars of a list that stand open.
const OPEN_BARS: usize = 15;

/// Text made safe for HTML, also inside an attribute in double quotes. Control characters are shown as U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// A number in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole` in percent with one digit, without rounding up to 100 or down to 0.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = (part as f64 * 1000.0 / whole as f64).round() as u64;
    let tenths = if part < whole { tenths.min(999) } else { tenths };
    let tenths = if part > 0 { tenths.max(1) } else { tenths };
    if tenths.is_multiple_of(10) { format!("{} %", tenths / 10) } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong, or of consequence.
    Bad,
    /// Passed over.
    Quiet,
    /// A plain quantity.
    Accent,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Quiet => "quiet",
            Tone::Accent => "accent",
        }
    }
}

/// What stands on a page. Texts are plain; the page escapes them. `body` is HTML.
#[derive(Debug, Default)]
pub struct Page {
    /// Above the heading.
    pub eyebrow: String,
    /// The heading.
    pub heading: String,
    /// Below the heading, HTML.
    pub lead: String,
    /// `(id, name)` of the sections that the bar links to.
    pub links: Vec<(String, String)>,
    /// The rest, HTML.
    pub body: String,
}

impl Page {
    /// The whole file.
    pub fn render(&self) -> String {
        let mut nav = String::new();
        for (id, name) in &self.links {
            let _ = write!(nav, "<a href=\"#{}\">{}</a>", escape(id), escape(name));
        }
        let parts = [
            ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
            ("TITLE", format!("{}: {}", escape(&self.eyebrow), escape(&self.heading))),
            ("STYLE", STYLE.to_owned()),
            ("NAV", nav),
            ("EYEBROW", escape(&self.eyebrow)),
            ("HEADING", escape(&self.heading)),
            ("LEAD", self.lead.clone()),
            ("BODY", self.body.clone()),
            ("SCRIPT", SCRIPT.to_owned()),
        ];
        // One pass, so that what a log says is never taken for a place of the page.
        let mut out = String::with_capacity(self.body.len() + 32_000);
        let mut rest = PAGE;
        while let Some((before, after)) = rest.split_once('@') {
            out.push_str(before);
            rest = after;
            match parts.iter().find(|(name, _)| rest.starts_with(name) && rest[name.len()..].starts_with('@')) {
                Some((name, text)) => {
                    out.push_str(text);
                    rest = &rest[name.len() + 1..];
                }
                None => out.push('@'),
            }
        }
        out.push_str(rest);
        out
    }

    /// A row of large numbers: `(name, value, note, tone)`.
    pub fn tiles(&mut self, tiles: &[(&str, String, String, Tone)]) {
        self.body.push_str("<div class=\"tiles\">");
        for (name, value, note, tone) in tiles {
            let _ = write!(
                self.body,
                "<div class=\"tile {}\"><div class=\"name\">{}</div><div class=\"value\">{}</div><div class=\"note\">{}</div></div>",
                tone.class(),
                escape(name),
                escape(value),
                escape(note)
            );
        }
        self.body.push_str("</div>\n");
    }

    /// Begins a section with a heading; `about` is HTML and may be empty. [`Page::close`] ends it.
    pub fn open(&mut self, id: &str, heading: &str, pills: &[(String, Tone)], about: &str) {
        let _ = write!(self.body, "<section class=\"card\" id=\"{}\"><div class=\"head\"><h2>{}</h2>", escape(id), escape(heading));
        for (text, tone) in pills {
            self.body.push_str(&pill(text, *tone));
        }
        if !about.is_empty() {
            let _ = write!(self.body, "<p>{about}</p>");
        }
        self.body.push_str("</div>\n");
    }

    /// Ends a section.
    pub fn close(&mut self) {
        self.body.push_str("</section>\n");
    }

    /// A smaller heading.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.body, "<h3>{}</h3>", escape(text));
    }

    /// A sentence in place of an empty table.
    pub fn empty(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=\"empty\">{}</p>", escape(text));
    }

    /// Horizontal bars: `(label, count)`, in the order given, the longest at full length. Of a long list the rest is folded away.
    pub fn bars(&mut self, bars: &[(String, u64)], tone: Tone) {
        let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        // A fold that hides two or three lines saves nothing.
        let open = if bars.len() > OPEN_BARS + 3 { OPEN_BARS } else { bars.len() };
        let (first, rest) = bars.split_at(open);
        self.some_bars(first, most, tone);
        if !rest.is_empty() {
            let _ = write!(self.body, "<details class=\"more\"><summary>{} more</summary>", grouped(rest.len() as u64));
            self.some_bars(rest, most, tone);
            self.body.push_str("</details>\n");
        }
    }

    fn some_bars(&mut self, bars: &[(String, u64)], most: u64, tone: Tone) {
        self.body.push_str("<div class=\"bars\">");
        for (label, count) in bars {
            let _ = write!(
                self.body,
                "<span class=\"label\" title=\"{0}\">{0}</span><span class=\"track\"><i class=\"{1}\" style=\"width:{2:.1}%\"></i></span><span class=\"number\">{3}</span>",
                escape(label),
                tone.class(),
                *count as f64 * 100.0 / most as f64,
                grouped(*count)
            );
        }
        self.body.push_str("</div>\n");
    }

    /// A stacked bar with its legend: `(label, count, tone)`.
    pub fn stack(&mut self, parts: &[(&str, u64, Tone)]) {
        self.body.push_str(&stack(&parts.iter().map(|(_, count, tone)| (*count, *tone)).collect::<Vec<_>>()));
        self.body.push_str("<div class=\"legend\">");
        for (label, count, tone) in parts {
            let _ = write!(self.body, "<span><i class=\"{}\"></i>{} <b>{}</b></span>", tone.class(), escape(label), grouped(*count));
        }
        self.body.push_str("</div>\n");
    }

    /// Vertical columns over time: `(label, parts)`; the labels of the first, the middle and the last are shown.
    pub fn columns(&mut self, columns: &[(String, Vec<(u64, Tone)>)]) {
        let most = columns.iter().map(|(_, parts)| parts.iter().map(|(count, _)| count).sum::<u64>()).max().unwrap_or(0).max(1);
        self.body.push_str("<div class=\"columns\">");
        for (label, parts) in columns {
            let total: u64 = parts.iter().map(|(count, _)| count).sum();
            let _ = write!(self.body, "<div title=\"{}: {}\">", escape(label), grouped(total));
            for (count, tone) in parts.iter().filter(|(count, _)| *count > 0) {
                let height = *count as f64 * 100.0 / most as f64;
                let _ = write!(self.body, "<i class=\"{}\" style=\"height:{height:.2}%\"></i>", tone.class());
            }
            self.body.push_str("</div>");
        }
        self.body.push_str("</div><div class=\"axis\">");
        if let (Some((first, _)), Some((last, _))) = (columns.first(), columns.last()) {
            let _ = write!(self.body, "<span>{}</span>", escape(first));
            if columns.len() > 4 {
                let _ = write!(self.body, "<span>{}</span>", escape(&columns[columns.len() / 2].0));
            }
            if columns.len() > 1 {
                let _ = write!(self.body, "<span>{}</span>", escape(last));
            }
        }
        self.body.push_str("</div>\n");
    }

    /// A table that can be sorted and filtered.
    pub fn table(&mut self, table: &Table) {
        self.body.push_str("<div class=\"datatable\">");
        if table.rows.len() > 6 || !table.chips.is_empty() {
            let _ = write!(
                self.body,
                "<div class=\"tools\"><input type=\"search\" placeholder=\"{0}\" aria-label=\"{0}\">",
                escape(&table.placeholder)
            );
            if !table.chips.is_empty() {
                let _ = write!(
                    self.body,
                    "<button type=\"button\" class=\"chip\" data-tag=\"\" aria-pressed=\"true\">all <b>{}</b></button>",
                    table.rows.len()
                );
            }
            for (tag, label) in &table.chips {
                let count = table.rows.iter().filter(|row| row.tag == *tag).count();
                if count > 0 {
                    let _ = write!(
                        self.body,
                        "<button type=\"button\" class=\"chip\" data-tag=\"{}\" aria-pressed=\"false\">{} <b>{count}</b></button>",
                        escape(tag),
                        escape(label)
                    );
                }
            }
            self.body.push_str("<span class=\"count\"></span></div>");
        }
        let _ = write!(self.body, "<div class=\"scroll{}\"><table><thead><tr>", if table.rows.len() > 12 { "" } else { " low" });
        for (at, (title, is_number)) in table.columns.iter().enumerate() {
            // Shares are bars that begin at the left.
            let is_share = table.rows.iter().any(|row| row.cells.get(at).is_some_and(|cell| cell.class == "share"));
            let class = if *is_number && !is_share { " class=\"number\"" } else { "" };
            let sort = if *is_number { "number" } else { "text" };
            let _ = write!(self.body, "<th{class} data-sort=\"{sort}\">{}</th>", escape(title));
        }
        self.body.push_str("</tr></thead><tbody>\n");
        for row in &table.rows {
            let _ = write!(self.body, "<tr data-tag=\"{}\">", escape(&row.tag));
            for cell in &row.cells {
                let key = cell.key.as_ref().map_or_else(String::new, |key| format!(" data-key=\"{}\"", escape(key)));
                let class = if cell.class.is_empty() { String::new() } else { format!(" class=\"{}\"", cell.class) };
                let _ = write!(self.body, "<td{class}{key}>{}</td>", cell.html);
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div></div>\n");
    }
}

/// A table of a page.
#[derive(Debug, Default)]
pub struct Table {
    /// Titles, and whether a column holds numbers.
    pub columns: Vec<(&'static str, bool)>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Filters by the rows' tags: `(tag, label)`.
    pub chips: Vec<(&'static str, &'static str)>,
    /// What the filter's field says.
    pub placeholder: String,
}

/// A row of a table.
#[derive(Debug, Default)]
pub struct Row {
    /// What the chips filter by.
    pub tag: String,
    /// One a column.
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Debug, Default)]
pub struct Cell {
    /// What is shown, HTML.
    pub html: String,
    /// What it is sorted by, where that is not what is shown.
    pub key: Option<String>,
    /// A class of the style sheet.
    pub class: &'static str,
}

impl Cell {
    /// Plain text.
    pub fn text(text: &str) -> Cell {
        Cell { html: escape(text), ..Cell::default() }
    }

    /// A path or a name of a program.
    pub fn code(text: &str) -> Cell {
        Cell { html: code(text), key: Some(text.to_owned()), class: "" }
    }

    /// Several codes below one another.
    pub fn codes<'a>(texts: impl IntoIterator<Item = &'a str>) -> Cell {
        Cell { html: texts.into_iter().map(code).collect::<Vec<_>>().join("<br>"), ..Cell::default() }
    }

    /// A number.
    pub fn number(number: u64) -> Cell {
        Cell { html: grouped(number), key: Some(number.to_string()), class: "number" }
    }

    /// A share as a small bar with percent.
    pub fn share(part: u64, whole: u64, tone: Tone) -> Cell {
        let bar = stack(&[(part, tone), (whole.saturating_sub(part), Tone::Plain)]);
        let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Cell { html: format!("{bar}{}", percent(part, whole)), key: Some(format!("{share:.6}")), class: "share" }
    }

    /// A word in a coloured pill.
    pub fn pill(text: &str, tone: Tone) -> Cell {
        Cell { html: pill(text, tone), key: Some(text.to_owned()), class: "tight" }
    }
}

/// Text as code. Paths may break behind their separators.
pub fn code(text: &str) -> String {
    let broken = escape(text).replace('/', "/<wbr>").replace('.', ".<wbr>");
    format!("<code>{broken}</code>")
}

/// A word in a coloured pill.
pub fn pill(text: &str, tone: Tone) -> String {
    format!("<span class=\"pill {}\">{}</span>", tone.class(), escape(text))
}

fn stack(parts: &[(u64, Tone)]) -> String {
    let whole: u64 = parts.iter().map(|(count, _)| count).sum::<u64>().max(1);
    let mut out = String::from("<span class=\"stack\">");
    for (count, tone) in parts.iter().filter(|(count, tone)| *count > 0 && *tone != Tone::Plain) {
        let _ = write!(out, "<i class=\"{}\" style=\"width:{:.2}%\"></i>", tone.class(), *count as f64 * 100.0 / whole as f64);
    }
    out.push_str("</span>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_says_stays_text() {
        let mut page = Page { heading: "<script>alert(1)</script>@BODY@".into(), eyebrow: "x".into(), ..Page::default() };
        page.tiles(&[("a\"b", "<b>".into(), "\u{1b}[2J".into(), Tone::Plain)]);
        page.table(&Table {
            columns: vec![("path", false)],
            rows: vec![Row { tag: "\"><img>".into(), cells: vec![Cell::code("<i>@SCRIPT@")] }],
            ..Table::default()
        });
        let html = page.render();
        for evil in ["<script>alert", "<img>", "<i>@", "\u{1b}", "a\"b"] {
            assert!(!html.contains(evil), "{evil} reached the page");
        }
        assert_eq!(html.matches("<script>").count(), 1, "the page's own");
        assert!(html.contains("@SCRIPT@") && html.contains("@BODY@"), "what a log says is no place of the page");
        assert!(!html.contains("@STYLE@") && !html.contains("@LEAD@"), "every place is filled");
        assert!(!html.contains("src=") && !html.contains("http://") && !html.contains("https://"), "nothing is loaded");
    }

    #[test]
    fn shares_do_not_round_to_the_ends() {
        for (part, whole, expected) in
            [(0, 10, "0 %"), (1, 10_000_000, "0.1 %"), (9_999_999, 10_000_000, "99.9 %"), (10, 10, "100 %"), (1, 3, "33.3 %"), (0, 0, "–")]
        {
            assert_eq!(percent(part, whole), expected);
        }
    }
}
