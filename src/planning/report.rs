//! A scenario as one page of HTML that stands alone: no script, no network, no other file.
//!
//! Owns the page: what it says in which order, that it is well-formed, and that no name breaks it. Light and
//! dark follow the reader's setting; paper is light. Never computes a number.

use super::Outlook;
use super::month::{Column, Sums, columns};
use super::numerals::grouped;
use super::svg;
use std::fmt::Write as _;

/// The style of the page and its chart. Text has a contrast of 4.5 and more on its ground, marks of 3 and more.
const STYLE: &str = include_str!("report.css");
/// What the numbers mean.
const MEANINGS: [(&str, &str); 8] = [
    ("At start", "The balance before anything of the month comes in: packages and longer cycles, not what is handed on."),
    ("Granted", "Allowance and add-on units of cycles that open in the month."),
    ("Rolled in", "Credits handed on by the cycle before."),
    ("Lost", "Credits that ended unused: they expired, or the end of a cycle took what does not roll over."),
    ("Handed on", "Credits that a rollover rule keeps for the next cycle."),
    ("Refused", "The price of usage that credits did not cover. A day's usage of a meter is one message and is refused as a whole."),
    ("Into debt", "The price of usage that the policy allows without credits. Later credits repay it."),
    ("Last day", "The balance before the end of the month takes or hands on anything; the line of the chart."),
];

/// A text as content or attribute of the page.
#[must_use]
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in a page, and nothing anybody reads.
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

/// The page. The same outlook gives the same bytes.
#[must_use]
pub fn html(outlook: &Outlook) -> String {
    let title = escaped(&outlook.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    list(&mut page, &outlook.meaning());
    let description = "Bars: credits burned, handed on and lost in each month, and above them, dashed, usage that was not covered. \
                       Line: the balance on the month's last day. The table below has every number.";
    let _ = writeln!(page, "<figure>\n{}\n</figure>", svg::chart(&outlook.months, &outlook.title, description));
    table(&mut page, outlook);
    tried(&mut page, outlook);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

// Writing to a String cannot fail.

fn list(page: &mut String, sentences: &[String]) {
    page.push_str("<ul>\n");
    for sentence in sentences {
        let _ = writeln!(page, "<li>{}</li>", escaped(sentence));
    }
    page.push_str("</ul>\n");
}

fn table(page: &mut String, outlook: &Outlook) {
    let columns: Vec<&Column> = columns(&outlook.months).collect();
    page.push_str(
        "<section class=\"months\">\n<h2>Month by month</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Month by month\">\n<table>\n\
         <caption>In credits; prices of add-ons and packages in their currency. At start + granted + rolled in + bought \
         &#8722; burned &#8722; debt repaid &#8722; lost &#8722; handed on = at end.</caption>\n<thead>\n<tr><th scope=\"col\">Month</th>",
    );
    for column in &columns {
        let currency = if column.money { format!(" ({})", escaped(outlook.currency.as_str())) } else { String::new() };
        let _ = write!(page, "<th scope=\"col\">{}{currency}</th>", column.title);
    }
    page.push_str("</tr>\n</thead>\n<tbody>\n");
    for month in &outlook.months {
        row(page, &format!("{} to {}", month.period.first, month.period.last), &month.sums, &columns);
    }
    page.push_str("</tbody>\n<tfoot>\n");
    row(page, "All months", &outlook.total, &columns);
    page.push_str("</tfoot>\n</table>\n</div>\n</section>\n");
}

fn row(page: &mut String, name: &str, sums: &Sums, columns: &[&Column]) {
    let _ = write!(page, "<tr><th scope=\"row\">{name}</th>");
    for column in columns {
        let _ = write!(page, "<td>{}</td>", grouped((column.of)(sums)));
    }
    page.push_str("</tr>\n");
}

/// What was tried, and what the words mean.
fn tried(page: &mut String, outlook: &Outlook) {
    page.push_str("<section>\n<h2>What was tried</h2>\n<dl>\n");
    for (term, text) in &outlook.about {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(term), escaped(text));
    }
    for note in &outlook.notes {
        let _ = writeln!(page, "<dt>Note</dt><dd>{}</dd>", escaped(note));
    }
    page.push_str("</dl>\n</section>\n<section>\n<h2>What the words mean</h2>\n<dl>\n");
    for (term, text) in MEANINGS {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(term), escaped(text));
    }
    page.push_str("</dl>\n</section>\n");
}
