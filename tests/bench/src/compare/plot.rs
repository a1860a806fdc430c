//! Latency against load, as an SVG with a logarithmic axis.

use std::fmt::Write as _;

use super::report::Side;

/// One line of the plot.
pub(crate) struct Line {
    pub(crate) side: Side,
    pub(crate) label: &'static str,
    /// Percent of etcd's rate, and milliseconds.
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (60.0, 130.0, 20.0, 50.0);

/// Draws the lines.
pub(crate) fn svg(lines: &[Line]) -> String {
    let (left, right, top, bottom) = MARGINS;
    let all = || lines.iter().flat_map(|line| &line.points).map(|point| point.1.max(1e-3).log10());
    let (low, high) = (all().fold(f64::MAX, f64::min).floor(), all().fold(f64::MIN, f64::max).ceil());
    let (low, high) = if low < high { (low, high) } else { (-1.0, 1.0) };
    let x = |percent: f64| left + (WIDTH - left - right) * percent / 100.0;
    let y = |millis: f64| {
        HEIGHT - bottom - (HEIGHT - top - bottom) * (millis.max(1e-3).log10() - low) / (high - low)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for decade in low as i32..=high as i32 {
        let millis = 10f64.powi(decade);
        let (at, end) = (y(millis), WIDTH - right);
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{millis} ms</text>",
            left - 6.0,
            at + 4.0
        );
    }
    for percent in [0, 25, 50, 75, 100] {
        let at = x(f64::from(percent));
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{percent} %</text>",
            HEIGHT - bottom + 18.0
        );
    }
    let middle = x(50.0);
    let _ = writeln!(
        out,
        "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">puts a second, of the most that etcd takes</text>",
        HEIGHT - 12.0
    );
    for line in lines {
        let colour = if line.side == Side::Mainstay { "#0a6e3f" } else { "#b3541e" };
        let dashes = match line.label {
            "p50" => "1 3",
            "p99" => "none",
            _ => "6 4",
        };
        let points: Vec<String> =
            line.points.iter().map(|(percent, ms)| format!("{:.1},{:.1}", x(*percent), y(*ms))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>",
            points.join(" ")
        );
        if let Some((percent, ms)) = line.points.last() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{} {}</text>",
                x(*percent) + 8.0,
                y(*ms) + 4.0,
                line.side.name(),
                line.label
            );
        }
    }
    out += "</svg>\n";
    out
}
