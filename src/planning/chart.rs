//! A plot of the months for a terminal: one bar a month, of block characters.
//!
//! Owns the marks and their lengths. Never asks how wide the terminal is: a bar has at most 50 marks.

use super::month::{Month, Sums};
use super::numerals::{amount, grouped, micros, scaled};

/// Marks of the longest bar.
const MARKS: i128 = 50;

/// A part of a bar.
pub(super) struct Part {
    /// Its name for people.
    pub(super) name: &'static str,
    /// Its class in the style of the page.
    pub(super) class: &'static str,
    /// Its mark on a terminal.
    mark: &'static str,
    /// How much it is, in millionths.
    pub(super) of: fn(&Sums) -> i128,
}

/// The parts of a bar, the first one lowest.
pub(super) static PARTS: [Part; 4] = [
    Part { name: "burned", class: "burned", mark: "█", of: |sums| micros(sums.burned) },
    Part { name: "handed on", class: "handed-on", mark: "▒", of: |sums| micros(sums.handed_on) },
    Part { name: "lost", class: "lost", mark: "░", of: |sums| micros(sums.lost) },
    Part { name: "not covered", class: "uncovered", mark: "×", of: |sums| micros(sums.uncovered) },
];

/// The length of a bar, in millionths.
pub(super) fn length(sums: &Sums) -> i128 {
    PARTS.iter().map(|part| (part.of)(sums)).sum()
}

/// What was burned, handed on, lost and not covered in each month, with a legend above; nothing when nothing
/// was.
#[must_use]
pub fn plot(months: &[Month]) -> String {
    let longest = months.iter().map(|month| length(&month.sums)).max().unwrap_or_default();
    let Some(most) = amount(longest).filter(|most| most.is_positive()) else { return String::new() };
    let legend: Vec<String> = PARTS.iter().map(|part| format!("{} {}", part.mark, part.name)).collect();
    let labels: Vec<String> = months.iter().map(|month| month.period.label()).collect();
    let width = labels.iter().map(String::len).max().unwrap_or_default();
    let mut lines = vec![format!("{:width$}  {}; the longest bar is {} credits", "", legend.join("  "), grouped(most))];
    for (month, label) in months.iter().zip(&labels) {
        lines.push(format!("{label:>width$}  {}", bar(&month.sums, longest)).trim_end().to_owned());
    }
    lines.join("\n")
}

/// The marks of a month; what is there at all has one.
fn bar(sums: &Sums, longest: i128) -> String {
    let (mut bar, mut sum) = (String::new(), 0_i128);
    for part in &PARTS {
        let amount = (part.of)(sums);
        let begin = scaled(sum, longest, MARKS);
        sum += amount;
        let marks = scaled(sum, longest, MARKS) - begin;
        let marks = if amount > 0 { marks.max(1) } else { 0 };
        bar.push_str(&part.mark.repeat(usize::try_from(marks).unwrap_or_default()));
    }
    bar
}
