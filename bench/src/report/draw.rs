//! Two kinds of drawings, as SVG text: curves over two axes, and panels of bars side by side. This file does not know
//! what they mean. Each axis has its ticks given; callers take logarithms before the library sees a value.

use super::spread::Spread;
use super::units::{self, Kind};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::io;

/// Color of text and axes.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Color of grid lines.
pub const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
/// Color of the background.
pub const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// Width of every drawing, in SVG pixels.
const WIDTH: u32 = 720;
/// Height of a drawing with axes, without its legend.
const HEIGHT: u32 = 400;
/// Height of a letter, and maximum average width of one.
const LETTER: (f64, i32) = (14.0, 8);
/// The library writes a font size that is smaller than its argument by this factor.
const ENLARGED: f64 = 1.24;
/// Height of a line of the legend, and of a bar with its margins.
const ROW: i32 = 22;
/// Title lines above the bars of a panel.
const HEAD: i32 = 2;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// The look of one engine, in all drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Color of line, marks and bars.
    pub color: RGBColor,
    /// Pixels drawn and left out; `None` is a solid line.
    pub dash: Option<(i32, i32)>,
    /// The mark at each point.
    pub mark: Mark,
}

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Filled.
    Disc,
    /// Filled.
    Triangle,
    /// Filled.
    Square,
    /// Not filled.
    Ring,
}

/// One axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// The title, with the unit.
    pub title: String,
    /// The range of values, in the coordinates of the ticks.
    pub range: std::ops::Range<f64>,
    /// Positions and labels, ascending.
    pub ticks: Vec<(f64, String)>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let ticks = self.ticks.iter().map(|tick| tick.0);
        if hint.weight().allow_light_points() { Vec::new() } else { ticks.collect() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, place: &f64) -> String {
        self.ticks.iter().find(|tick| tick.0 == *place).map(|tick| tick.1.clone()).unwrap_or_default()
    }
}

/// One curve, in the coordinates of the axes.
#[derive(Debug, Clone)]
pub struct Line {
    /// The label in the legend.
    pub label: String,
    /// See [`Look`].
    pub look: Look,
    /// Ascending by x.
    pub points: Vec<(f64, f64)>,
    /// Vertical lines at x from one y to another: the spread of a point.
    pub whiskers: Vec<(f64, f64, f64)>,
    /// Whether each point has its mark; for curves with few points.
    pub marked: bool,
    /// Whether the last point has a cross: the series was stopped there.
    pub ended: bool,
}

/// Bars from 0 for one figure.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Two lines above the bars, with room for about 45 letters each.
    pub title: [String; 2],
    /// What the bars count.
    pub kind: Kind,
    /// Label (up to 15 letters), look and figure; `None` is a row without a bar.
    pub bars: Vec<(String, Look, Option<Spread>)>,
}

/// Draws curves over two axes, with the legend above.
pub fn curves(x: &Axis, y: &Axis, lines: &[Line]) -> io::Result<String> {
    let (places, legend) = legend_places(lines);
    drawn(HEIGHT + legend as u32, |root| {
        for (line, place) in lines.iter().zip(places) {
            legend_entry(root, line, place)?;
        }
        let (_, plot) = root.split_vertically(legend);
        let mut chart = ChartBuilder::on(&plot)
            .margin(8)
            .margin_right(28)
            .x_label_area_size(50)
            .y_label_area_size(72)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(io::Error::other)?;
        axes(&mut chart, x, y)?;
        lines.iter().try_for_each(|line| curve(&mut chart, line))
    })
}

/// Draws panels in two columns.
pub fn bars(panels: &[Panel]) -> io::Result<String> {
    let tall = |row: &[Panel]| {
        let bars = row.iter().map(|panel| panel.bars.len()).max().unwrap_or_default();
        (HEAD + 1 + bars as i32) * ROW
    };
    let rows: Vec<&[Panel]> = panels.chunks(2).collect();
    let height: i32 = rows.iter().map(|row| tall(row)).sum();
    drawn(height as u32, |root| {
        let mut top = 0;
        for row in rows {
            for (column, panel) in row.iter().enumerate() {
                let left = column as i32 * (WIDTH as i32 / 2);
                draw_panel(root, panel, (left, top))?;
            }
            top += tall(row);
        }
        Ok(())
    })
}

/// Returns ticks at round numbers from 0 to at least `most`, labelled in the unit of `kind`, and the unit.
#[must_use]
pub fn ticks_from_zero(kind: Kind, most: f64) -> (Vec<(f64, String)>, &'static str) {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let (unit, scale) = kind.unit(most);
    let rough = most / scale / 5.0;
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|round| round * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let count = (most / scale / step).ceil() as u32;
    let places = (0..=count).map(|tick| f64::from(tick) * step);
    let decimals = if step.fract() == 0.0 {
        0
    } else if (step * 10.0).fract().abs() < 1e-9 {
        1
    } else {
        2
    };
    (places.map(|place| (place * scale, format!("{place:.decimals$}"))).collect(), unit)
}

/// Returns a document of that height.
fn drawn(height: u32, draw: impl FnOnce(&Area) -> io::Result<()>) -> io::Result<String> {
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    root.fill(&PAPER).map_err(io::Error::other)?;
    draw(&root)?;
    root.present().map_err(io::Error::other)?;
    drop(root);
    Ok(svg)
}

fn axes(chart: &mut Chart, x: &Axis, y: &Axis) -> io::Result<()> {
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(GRID)
        .axis_style(INK)
        .label_style(letters(HPos::Center))
        .axis_desc_style(letters(HPos::Center))
        .x_desc(&x.title)
        .y_desc(&y.title)
        .draw()
        .map_err(io::Error::other)
}

fn curve(chart: &mut Chart, line: &Line) -> io::Result<()> {
    let look = line.look;
    let style = look.color.stroke_width(2);
    let points = || line.points.iter().copied();
    match look.dash {
        None => chart.draw_series(LineSeries::new(points(), style)),
        Some((drawn, left)) => chart.draw_series(DashedLineSeries::new(points(), drawn, left, style)),
    }
    .map_err(io::Error::other)?;
    let whiskers =
        line.whiskers.iter().map(|&(x, from, to)| PathElement::new([(x, from), (x, to)], look.color));
    chart.draw_series(whiskers).map_err(io::Error::other)?;
    let area = chart.plotting_area();
    for point in points().filter(|_| line.marked) {
        marked(area, look, point)?;
    }
    if let Some(last) = points().last().filter(|_| line.ended) {
        area.draw(&Cross::new(last, 9, style)).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Draws the mark of `look` at a point in the coordinates of `area`.
fn marked<Coords>(area: &DrawingArea<SVGBackend, Coords>, look: Look, at: Coords::From) -> io::Result<()>
where
    Coords: CoordTranslate,
    Coords::From: Clone,
{
    let filled = look.color.filled();
    match look.mark {
        Mark::Disc => area.draw(&Circle::new(at, 4, filled)),
        Mark::Ring => area.draw(&Circle::new(at, 5, look.color.stroke_width(2))),
        Mark::Triangle => area.draw(&TriangleMarker::new(at, 6, filled)),
        Mark::Square => area.draw(&(EmptyElement::at(at) + Rectangle::new([(-4, -4), (4, 4)], filled))),
    }
    .map_err(io::Error::other)
}

/// Returns the position of each entry of the legend, in as many rows as necessary, and the height of the legend.
fn legend_places(lines: &[Line]) -> (Vec<(i32, i32)>, i32) {
    let (mut left, mut top) = (16, ROW / 2 + 4);
    let mut places = Vec::new();
    for line in lines {
        let wide = 40 + LETTER.1 * line.label.chars().count() as i32 + 16;
        if left + wide > WIDTH as i32 && left > 16 {
            (left, top) = (16, top + ROW);
        }
        places.push((left, top));
        left += wide;
    }
    (places, top + ROW / 2)
}

fn legend_entry(root: &Area, line: &Line, (left, top): (i32, i32)) -> io::Result<()> {
    let style = line.look.color.stroke_width(2);
    let (drawn, left_out) = line.look.dash.unwrap_or((32, 0));
    let mut at = 0;
    while at < 32 {
        let dash = [(left + at, top), (left + (at + drawn).min(32), top)];
        root.draw(&PathElement::new(dash, style)).map_err(io::Error::other)?;
        at += drawn + left_out;
    }
    if line.marked {
        marked(root, line.look, (left + 16, top))?;
    }
    text(root, &line.label, HPos::Left, (left + 40, top))
}

/// Draws a panel: labels to the left of 0, bars to the right, each with its figure after it.
fn draw_panel(root: &Area, panel: &Panel, (left, top): (i32, i32)) -> io::Result<()> {
    /// Width of the labels, and maximum length of a bar; the remainder of the column is for the figures.
    const NAMES: i32 = 130;
    const BARS: i32 = 140;
    let most = panel.bars.iter().filter_map(|bar| bar.2).map(|spread| spread.max).fold(0.0, f64::max);
    let long = |value: f64| if most > 0.0 { (value / most * f64::from(BARS)).round() as i32 } else { 0 };
    let zero = left + NAMES;
    for (line, words) in panel.title.iter().enumerate() {
        text(root, words, HPos::Left, (left + 12, top + (ROW - 4) * line as i32 + ROW / 2 + 2))?;
    }
    for (row, (name, look, spread)) in panel.bars.iter().enumerate() {
        let middle = top + ROW * (HEAD + row as i32) + ROW / 2 + 4;
        text(root, name, HPos::Right, (zero - 8, middle))?;
        let figure = units::median(panel.kind, *spread);
        let Some(spread) = spread else {
            text(root, &figure, HPos::Left, (zero + 8, middle))?;
            continue;
        };
        let bar = [(zero, middle - 7), (zero + long(spread.median), middle + 7)];
        root.draw(&Rectangle::new(bar, look.color.filled())).map_err(io::Error::other)?;
        let whisker = [(zero + long(spread.min), middle), (zero + long(spread.max), middle)];
        root.draw(&PathElement::new(whisker, INK)).map_err(io::Error::other)?;
        text(root, &figure, HPos::Left, (zero + long(spread.max) + 8, middle))?;
    }
    let bottom = top + ROW * (HEAD + panel.bars.len() as i32) + 4;
    root.draw(&PathElement::new([(zero, top + ROW * HEAD + 4), (zero, bottom)], INK))
        .map_err(io::Error::other)
}

fn text(root: &Area, words: &str, side: HPos, at: (i32, i32)) -> io::Result<()> {
    root.draw(&Text::new(words.to_owned(), at, letters(side))).map_err(io::Error::other)
}

fn letters(side: HPos) -> TextStyle<'static> {
    let font = ("sans-serif", LETTER.0 * ENLARGED).into_font();
    font.color(&INK).pos(Pos::new(side, VPos::Center))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_cover_zero_to_maximum() {
        let words = |kind, most| {
            let (ticks, unit) = ticks_from_zero(kind, most);
            assert!(
                ticks[0].0 == 0.0 && ticks.last().is_some_and(|last| last.0 >= most.max(0.0)),
                "{ticks:?}"
            );
            (ticks.into_iter().map(|tick| tick.1).collect::<Vec<_>>().join(" "), unit)
        };
        assert_eq!(words(Kind::Time, 11_300.0), ("0.0 2.5 5.0 7.5 10.0 12.5".into(), "us"));
        assert_eq!(words(Kind::Count, 612_000.0), ("0 200 400 600 800".into(), "k"));
        assert_eq!(words(Kind::Count, 1.0), ("0.0 0.2 0.4 0.6 0.8 1.0".into(), ""));
        assert_eq!(words(Kind::Bytes, 0.0).1, "B");
        assert_eq!(words(Kind::Bytes, f64::NAN).1, "B");
    }

    #[test]
    fn long_legend_wraps() {
        let look = Look { color: INK, dash: None, mark: Mark::Disc };
        let line = |label: &str| Line {
            label: label.into(),
            look,
            points: Vec::new(),
            whiskers: Vec::new(),
            marked: false,
            ended: false,
        };
        let (places, height) = legend_places(&vec![line("a name of some length"); 5]);
        assert_eq!(places[0].1, places[2].1);
        assert_eq!(places[3], (places[0].0, places[0].1 + ROW));
        assert!(places[4].1 < height);
    }
}
