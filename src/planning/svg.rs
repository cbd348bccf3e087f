//! The chart of the months as SVG: stacked bars and the balance as a line.
//!
//! Owns its geometry, in whole tenths of a pixel, so that no number is rounded by chance. Its colours are the
//! page's (`report`). Never needs a script, a font or a network.

use super::chart::{PARTS, length};
use super::month::Month;
use super::numerals::{amount, grouped, micros, scaled};
use super::report::escaped;
use std::fmt::Write as _;

/// The size of the picture, in pixels.
const WIDTH: i128 = 960;
const HEIGHT: i128 = 420;
/// What is left free around the plot, in pixels.
const LEFT: i128 = 110;
const RIGHT: i128 = 16;
const TOP: i128 = 60;
const BOTTOM: i128 = 56;
/// The most steps of the axis of credits.
const STEPS_MAX: i128 = 5;
/// The least room of a label of a month, in pixels.
const LABEL_MIN: i128 = 80;
/// Where each name of the legend begins, in pixels.
const LEGEND: [i128; 5] = [110, 200, 310, 385, 505];

/// Places in the picture, in tenths of a pixel.
struct Frame {
    /// Credits at the top of the axis, in millionths.
    top: i128,
    /// Credits of one step of it.
    step: i128,
    /// The room of one month.
    slot: i128,
}

impl Frame {
    fn of(months: &[Month]) -> Self {
        let most = months.iter().map(|month| length(&month.sums).max(micros(month.sums.left))).max().unwrap_or_default();
        // Where nothing is, the axis ends at one credit.
        let most = if most == 0 { 1_000_000 } else { most };
        let step = step(most);
        let steps = (most + step - 1) / step;
        let count = i128::try_from(months.len()).unwrap_or(1).max(1);
        Self { top: step * steps.max(1), step, slot: (WIDTH - LEFT - RIGHT) * 10 / count }
    }

    /// How high some credits are.
    fn height(&self, credits: i128) -> i128 {
        scaled(credits, self.top, (HEIGHT - TOP - BOTTOM) * 10)
    }

    /// Where they are.
    fn y(&self, credits: i128) -> i128 {
        (HEIGHT - BOTTOM) * 10 - self.height(credits)
    }

    /// Where a month begins.
    fn x(&self, index: usize) -> i128 {
        LEFT * 10 + self.slot * i128::try_from(index).unwrap_or_default()
    }
}

/// A step of 1, 2 or 5 times a power of ten, so that few of them reach the most.
fn step(most: i128) -> i128 {
    let mut ten = 1_i128;
    loop {
        for factor in [1, 2, 5] {
            if ten * factor * STEPS_MAX >= most {
                return ten * factor;
            }
        }
        ten *= 10;
    }
}

/// Tenths as pixels.
fn px(tenths: i128) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Millionths as credits.
fn credits(millionths: i128) -> String {
    amount(millionths).map_or_else(String::new, grouped)
}

/// The chart; `title` is its name, `description` what it shows, for those who do not see it.
#[must_use]
pub(super) fn chart(months: &[Month], title: &str, description: &str) -> String {
    let frame = Frame::of(months);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"chart-title chart-description\">\n\
         <title id=\"chart-title\">{}</title>\n<desc id=\"chart-description\">{}</desc>\n\
         <defs><pattern id=\"stripes\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"lost-ground\" width=\"6\" height=\"6\"/><rect class=\"lost-stripe\" width=\"2\" height=\"6\"/></pattern></defs>\n",
        escaped(title),
        escaped(description)
    );
    axes(&mut svg, &frame, months);
    for (index, month) in months.iter().enumerate() {
        bar(&mut svg, &frame, (index, month));
    }
    line(&mut svg, &frame, months);
    legend(&mut svg);
    svg.push_str("</svg>");
    svg
}

// Writing to a String cannot fail.

fn axes(svg: &mut String, frame: &Frame, months: &[Month]) {
    let right = px((WIDTH - RIGHT) * 10);
    let mut at = 0;
    while at <= frame.top {
        let y = frame.y(at);
        let _ = writeln!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{0}\" y2=\"{0}\"/>", px(y));
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", LEFT - 8, px(y + 40), credits(at));
        at += frame.step;
    }
    let _ = writeln!(svg, "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">credits</text>", LEFT - 8, TOP - 14);
    let every = (LABEL_MIN * 10 + frame.slot - 1) / frame.slot.max(1);
    let every = usize::try_from(every).unwrap_or(1).max(1);
    for (index, month) in months.iter().enumerate().step_by(every) {
        let (x, y) = (px(frame.x(index) + frame.slot / 2), HEIGHT - BOTTOM + 20);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", month.period.label());
    }
    let (x, y) = ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
    let _ = writeln!(svg, "<text class=\"axis\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">month, by its first day</text>");
}

/// The parts of a month, one upon the other.
fn bar(svg: &mut String, frame: &Frame, (index, month): (usize, &Month)) {
    let (x, width) = (frame.x(index) + frame.slot / 5, frame.slot * 3 / 5);
    let label = month.period.label();
    let mut sum = 0;
    for part in &PARTS {
        let amount = (part.of)(&month.sums);
        let bottom = frame.y(sum);
        sum += amount;
        let y = frame.y(sum);
        if amount > 0 {
            let (x, y, width, height) = (px(x), px(y), px(width), px(bottom - y));
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{label}: {} {}</title></rect>",
                part.class,
                part.name,
                credits(amount)
            );
        }
    }
}

/// The balance on the last day of each month.
fn line(svg: &mut String, frame: &Frame, months: &[Month]) {
    let point = |(index, month): (usize, &Month)| (px(frame.x(index) + frame.slot / 2), px(frame.y(micros(month.sums.left))));
    let points: Vec<(String, String)> = months.iter().enumerate().map(point).collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    // The halo keeps the line apart from the bars behind it.
    for class in ["halo", "balance"] {
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", path.join(" "));
    }
    for ((x, y), month) in points.iter().zip(months) {
        let (label, left) = (month.period.label(), grouped(month.sums.left));
        let _ = writeln!(
            svg,
            "<circle class=\"balance-point\" cx=\"{x}\" cy=\"{y}\" r=\"3\"><title>{label}: balance on the last day {left}</title></circle>"
        );
    }
}

fn legend(svg: &mut String) {
    for (part, x) in PARTS.iter().zip(LEGEND) {
        let _ = writeln!(svg, "<rect class=\"{}\" x=\"{x}\" y=\"10\" width=\"14\" height=\"14\"/>", part.class);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"22\">{}</text>", x + 20, part.name);
    }
    if let Some(x) = LEGEND.last() {
        let _ = writeln!(svg, "<polyline class=\"balance\" points=\"{x},17 {},17\"/>", x + 24);
        let _ = writeln!(svg, "<circle class=\"balance-point\" cx=\"{}\" cy=\"17\" r=\"3\"/>", x + 12);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"22\">balance on the last day</text>", x + 30);
    }
}
