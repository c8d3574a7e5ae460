//! What it looks like: states by a sign and a word as well as by colour, numbers in columns.

use pollux::balance::Duty;
use pollux::status::show_span;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as Cells, Sparkline, Table, Wrap};

use super::watch::{Column, Row, Watch};

/// How many of the last observations of a backend have room.
const SEEN: usize = 12;

/// A terminal that is not so high shows no curve, and one that is not so wide no addresses.
const HIGH: u16 = 18;
const WIDE: u16 = 96;

const HELP: &str = "\
 Up Down PgUp PgDn Home End   choose a backend
 Enter                        what was last observed of it
 d                            drain it: nobody new but those bound to it
 r                            have it serve again
 s  S                         sort by the next column, the other way round
 q  Ctrl-C                    end";

pub(super) fn draw(frame: &mut Frame<'_>, watch: &mut Watch) {
    let area = frame.area();
    let curve = if area.height >= HIGH { 3 } else { 0 };
    let [head, sums, rates, table, causes, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(curve),
        Constraint::Min(3),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(head_line(watch), head);
    frame.render_widget(sum_line(watch), sums);
    if curve > 0 {
        draw_rates(frame, watch, rates);
    }
    draw_table(frame, watch, table);
    frame.render_widget(cause_line(watch), causes);
    frame.render_widget(foot_line(watch), foot);
    if watch.shows_help {
        draw_over(frame, " keys ", HELP);
    } else if let Some(details) = &watch.details {
        draw_over(frame, " any key closes this ", details);
    }
}

impl Watch {
    fn colour(&self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn head_line(watch: &Watch) -> Line<'_> {
    let Some(told) = &watch.told else { return Line::from("pollux") };
    let condition = match (&watch.lost, &told.drain) {
        (Some((since, _)), _) => {
            let silent_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            Span::styled(
                format!("no answer for {}", show_span(silent_ms)),
                watch.colour(Color::Red).patch(bold()),
            )
        }
        (None, Some(drain)) => {
            let text = format!("draining, {} left", show_span(drain.left_ms));
            Span::styled(text, watch.colour(Color::Yellow).patch(bold()))
        }
        (None, None) => Span::styled("serving", watch.colour(Color::Green)),
    };
    let file = told.configuration.file.as_deref().unwrap_or("from the command line");
    Line::from(vec![
        Span::styled("pollux ", bold()),
        Span::raw(format!("{}  process {}  up {}  ", told.version, told.pid, show_span(told.uptime_ms))),
        condition,
        Span::styled(format!("  {file}"), dim()),
    ])
}

fn sum_line(watch: &Watch) -> Line<'_> {
    let sums = &watch.sums;
    let told = watch.told.as_ref();
    let backends = || watch.rows.iter();
    let in_flight: u64 = backends().map(|row| u64::from(row.backend.in_flight)).sum();
    let clients: usize = told.map_or(0, |told| told.crowd.groups.iter().map(|group| group.count).sum());
    let serving = backends().filter(|row| matches!(row.condition().1, "up" | "warming")).count();
    let panics = told.is_some_and(|told| told.pools.iter().any(|pool| pool.panics));
    let failed = format!("{}.{} %", sums.failed / 10, sums.failed % 10);
    let failed_style = if sums.failed >= 10 { watch.colour(Color::Red).patch(bold()) } else { bold() };
    let mut spans = Vec::new();
    let pairs = [
        ("", show_rate(sums.rate), " req/s", bold()),
        ("p50 ", show_latency(sums.p50), "", bold()),
        ("p99 ", show_latency(sums.p99), "", bold()),
        ("failed ", failed, "", failed_style),
        ("in flight ", in_flight.to_string(), "", bold()),
        ("clients ", clients.to_string(), "", bold()),
        ("backends ", format!("{serving}/{}", watch.rows.len()), "", bold()),
    ];
    for (before, value, after, style) in pairs {
        spans.extend([Span::raw(before), Span::styled(value, style), Span::raw(after), Span::raw("   ")]);
    }
    if panics {
        let text = "too few are well: requests go to all";
        spans.push(Span::styled(text, watch.colour(Color::Red).patch(bold())));
    }
    Line::from(spans)
}

fn draw_rates(frame: &mut Frame<'_>, watch: &Watch, area: Rect) {
    let most = watch.rates.iter().copied().max().unwrap_or(0).max(1);
    let from = watch.rates.len().saturating_sub(usize::from(area.width.saturating_sub(8)));
    let shown: Vec<u64> = watch.rates.iter().skip(from).copied().collect();
    let [scale, curve] = Layout::horizontal([Constraint::Length(8), Constraint::Min(1)]).areas(area);
    let label = format!("{:>6}\n\n{:>6}", show_rate(most as f64), "req/s");
    frame.render_widget(Paragraph::new(label).style(dim()), scale);
    frame.render_widget(Sparkline::default().data(&shown).max(most).style(watch.colour(Color::Cyan)), curve);
}

fn draw_table(frame: &mut Frame<'_>, watch: &mut Watch, area: Rect) {
    let is_wide = area.width >= WIDE;
    let headings = [
        (Column::State, "STATE"),
        (Column::Name, "BACKEND"),
        (Column::Place, "ADDRESS"),
        (Column::Place, "WEIGHT"),
        (Column::InFlight, "IN FL"),
        (Column::Rate, "REQ/S"),
        (Column::P50, "P50"),
        (Column::P99, "P99"),
        (Column::Failed, "FAIL/S"),
        (Column::Place, "SEEN"),
    ];
    let heading = |(column, text): (Column, &'static str)| {
        let is_sorted = column == watch.sort && column != Column::Place;
        let line = Line::from(if is_sorted { format!("{text}*") } else { text.to_owned() });
        let is_text = matches!(text, "STATE" | "BACKEND" | "ADDRESS" | "SEEN");
        Cell::from(if is_text { line } else { line.alignment(Alignment::Right) })
    };
    let is_shown = |place: usize| is_wide || place != 2;
    let header =
        headings.into_iter().enumerate().filter(|(place, _)| is_shown(*place)).map(|(_, it)| heading(it));
    let rows: Vec<Cells<'_>> = watch
        .rows
        .iter()
        .map(|row| {
            let cells = cells(row, watch).into_iter().enumerate();
            Cells::new(cells.filter(|(place, _)| is_shown(*place)).map(|(_, cell)| cell).collect::<Vec<_>>())
        })
        .collect();
    let widths = [13, 18, 24, 6, 6, 8, 8, 8, 7, SEEN as u16];
    let widths =
        widths.into_iter().enumerate().filter(|(place, _)| is_shown(*place)).map(|(place, width)| {
            if matches!(place, 1 | 2) { Constraint::Min(width / 2) } else { Constraint::Length(width) }
        });
    let table = Table::new(rows, widths.collect::<Vec<_>>())
        .header(Cells::new(header.collect::<Vec<_>>()).style(dim()))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut watch.table);
}

fn cells<'a>(row: &'a Row, watch: &Watch) -> Vec<Cell<'a>> {
    let (_, word) = row.condition();
    let (sign, colour) = match word {
        "up" => ("●", Color::Green),
        "warming" => ("◐", Color::Yellow),
        "unchecked" => ("○", Color::Yellow),
        "down" => ("✕", Color::Red),
        "ejected" => ("▲", Color::Red),
        "draining" => ("↓", Color::Magenta),
        "taken out" => ("■", Color::Magenta),
        _ => ("?", Color::Yellow),
    };
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    vec![
        Cell::from(format!("{sign} {word}")).style(watch.colour(colour)),
        Cell::from(row.id.as_str()),
        Cell::from(row.backend.address.as_str()),
        right(row.backend.weight.to_string()),
        right(row.backend.in_flight.to_string()),
        right(show_rate(row.rate)),
        right(show_latency(row.p50)),
        right(show_latency(row.p99)),
        right(show_rate(row.failed)),
        Cell::from(marks(row)),
    ]
}

/// A sign for each of the last observations: a low one for well, a high one for ill.
fn marks(row: &Row) -> String {
    let from = row.backend.history.len().saturating_sub(SEEN);
    let mark = |is_well: bool| if is_well { '▂' } else { '█' };
    row.backend.history[from..].iter().map(|seen| mark(seen.is_well)).collect()
}

fn cause_line(watch: &Watch) -> Line<'_> {
    if watch.causes.is_empty() {
        return Line::styled("no exchange has failed since this has begun to look", dim());
    }
    let mut spans = vec![Span::styled("failed because ", dim())];
    for (cause, count) in watch.causes.iter().take(6) {
        spans.push(Span::raw(format!("{cause} ")));
        spans.push(Span::styled(format!("{count}   "), bold()));
    }
    Line::from(spans)
}

fn foot_line(watch: &Watch) -> Line<'_> {
    if let Some(plan) = &watch.plan {
        let verb = match plan.duty {
            Duty::Ready => "have it serve again",
            Duty::Drain => "drain it",
            Duty::Down => "take it out",
        };
        let warning = if plan.is_last { " No other backend of its pool takes new requests." } else { "" };
        let text = format!("{}: {verb}?{warning} y/n ", plan.id);
        return Line::styled(text, bold().add_modifier(Modifier::REVERSED));
    }
    if let Some((_, why)) = &watch.lost {
        return Line::styled(why.as_str(), watch.colour(Color::Red));
    }
    match watch.said() {
        Some(said) => Line::styled(said, bold()),
        None => Line::styled("q end  ↑↓ choose  Enter look  d drain  r ready  s sort  ? help", dim()),
    }
}

/// A text over everything else.
fn draw_over(frame: &mut Frame<'_>, title: &str, text: &str) {
    let area = frame.area();
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = area.width.min(u16::try_from(widest + 4).unwrap_or(u16::MAX));
    let height = area.height.min(u16::try_from(text.lines().count() + 2).unwrap_or(u16::MAX));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), place);
}

fn show_rate(rate: f64) -> String {
    match rate {
        rate if rate >= 10_000.0 => format!("{:.1}k", rate / 1000.0),
        rate if rate >= 100.0 || rate == 0.0 => format!("{rate:.0}"),
        rate => format!("{rate:.1}"),
    }
}

fn show_latency(us: Option<u64>) -> String {
    match us {
        None => String::from("-"),
        Some(us) if us < 1000 => format!("{us} µs"),
        Some(us) if us < 10_000 => format!("{:.1} ms", us as f64 / 1e3),
        Some(us) if us < 1_000_000 => format!("{} ms", us / 1000),
        Some(us) => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.25, 99.95, 1234.4, 23_456.0].map(show_rate),
            ["0", "0.2", "100.0", "1234", "23.5k"]
        );
        let shown = [None, Some(999), Some(1500), Some(10_000), Some(2_500_000)].map(show_latency);
        assert_eq!(shown, ["-", "999 µs", "1.5 ms", "10 ms", "2.5 s"]);
    }
}
