//! The report's plots.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};

const SIZE: (u32, u32) = (900, 420);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(120, 120, 120)];

/// A line with its name.
pub(crate) type Line = (String, Vec<(f64, f64)>);

/// What is on the axes.
pub(crate) struct Axes<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Lines over an axis from zero.
pub(crate) fn over_time(file: &Path, axes: &Axes<'_>, lines: &[Line]) -> Result<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    draw(&area, axes, 0.0..most(lines, |(x, _)| *x), lines).map_err(failed)
}

/// The same over a logarithmic axis.
pub(crate) fn over_size(file: &Path, axes: &Axes<'_>, lines: &[Line]) -> Result<()> {
    let least = lines.iter().flat_map(|(_, points)| points).map(|(x, _)| *x);
    let least = least.fold(f64::INFINITY, f64::min);
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    draw(&area, axes, (least..most(lines, |(x, _)| *x)).log_scale(), lines).map_err(failed)
}

fn most(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    lines.iter().flat_map(|(_, points)| points).map(of).fold(f64::MIN_POSITIVE, f64::max)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

type Failure<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a, X>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    axes: &Axes<'_>,
    x: X,
    lines: &[Line],
) -> Result<(), Failure<'a>>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(x, 0.0..most(lines, |(_, y)| *y) * 1.1)?;
    chart.configure_mesh().x_desc(axes.x).y_desc(axes.y).draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    area.present()
}
