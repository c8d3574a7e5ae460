//! The picture of the dashboard: states by a sign and a word as well as by colour, numbers in columns.

use pollux::balance::AdminState;
use pollux::core::time::show_span;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as Cells, Sparkline, Table, Wrap};

use super::watch::{Column, Row, Watch};
use super::{ascii, fit};

/// The number of the last observations of a backend that have room.
const SEEN: usize = 12;

/// A terminal that is not so high shows no curve, and one that is lower still the sums in one line.
const HIGH: u16 = 18;
const LOW: u16 = 10;

/// The width of a backend's name that is shown before other columns are.
const NAME: u16 = 24;
const NAME_LEAST: u16 = 10;

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
    let mut sums = fit::wrap(sum_items(watch), area.width);
    sums.truncate(if area.height >= LOW { sums.len() } else { 1 });
    let foot_line = foot_line(watch, area.width);
    let foot_height = fit::height(&foot_line.to_string(), area.width).clamp(1, (area.height / 3).max(1));
    let [head, sum, rates, table, causes, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(sums.len()).unwrap_or(1)),
        Constraint::Length(curve),
        Constraint::Min(3),
        Constraint::Length(1),
        Constraint::Length(foot_height),
    ])
    .areas(area);
    frame.render_widget(head_line(watch, area.width), head);
    frame.render_widget(Paragraph::new(sums), sum);
    frame.render_widget(cause_line(watch, area.width), causes);
    frame.render_widget(Paragraph::new(foot_line).wrap(Wrap { trim: false }), foot);
    if curve > 0 {
        draw_rates(frame, watch, rates);
    }
    draw_table(frame, watch, table);
    if watch.shows_help {
        draw_over(frame, " keys ", HELP);
    } else if let Some(details) = &watch.details {
        draw_over(frame, " any key closes this ", details);
    }
    if watch.is_ascii {
        ascii::make(frame.buffer_mut());
    }
}

/// As many of the items as have room in one line, each whole.
fn one_line<'a>(items: Vec<Vec<Span<'a>>>, width: u16) -> Line<'a> {
    fit::wrap(items, width).into_iter().next().unwrap_or_default()
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

fn head_line(watch: &Watch, width: u16) -> Line<'_> {
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
    let line = one_line(
        vec![
            vec![Span::styled("pollux ", bold()), Span::raw(told.version.as_str())],
            vec![condition],
            vec![Span::raw(format!("process {}", told.pid))],
            vec![Span::raw(format!("up {}", show_span(told.uptime_ms)))],
        ],
        width,
    );
    // Of a path the end says more.
    let room = usize::from(width).saturating_sub(line.width() + 3);
    let file = told.configuration.file.as_deref().unwrap_or("from the command line");
    let file = if room >= 8 { fit::without_beginning(file, room) } else { String::new() };
    let mut line = line;
    line.push_span(Span::styled(format!("   {file}"), dim()));
    line
}

fn sum_items(watch: &Watch) -> Vec<Vec<Span<'_>>> {
    let sums = &watch.sums;
    let told = watch.told.as_ref();
    let backends = || watch.rows.iter();
    let in_flight: u64 = backends().map(|row| u64::from(row.backend.in_flight)).sum();
    let clients: usize = told.map_or(0, |told| told.crowd.groups.iter().map(|group| group.count).sum());
    let serving = backends().filter(|row| matches!(row.condition().1, "up" | "warming")).count();
    let panics = told.is_some_and(|told| told.pools.iter().any(|pool| pool.panics));
    let failed = format!("{}.{} %", sums.failed / 10, sums.failed % 10);
    let failed_style = if sums.failed >= 10 { watch.colour(Color::Red).patch(bold()) } else { bold() };
    let items = [
        ("", show_rate(sums.rate), " req/s", bold()),
        ("p50 ", show_latency(sums.p50), "", bold()),
        ("p99 ", show_latency(sums.p99), "", bold()),
        ("failed ", failed, "", failed_style),
        ("in flight ", in_flight.to_string(), "", bold()),
        ("clients ", clients.to_string(), "", bold()),
        ("backends ", format!("{serving}/{}", watch.rows.len()), "", bold()),
    ];
    let item = |(before, value, after, style)| {
        vec![Span::raw(before), Span::styled::<String, Style>(value, style), Span::raw(after)]
    };
    let mut items: Vec<Vec<Span<'_>>> = items.into_iter().map(item).collect();
    if panics {
        let text = "too few are well: requests go to all";
        items.insert(0, vec![Span::styled(text, watch.colour(Color::Red).patch(bold()))]);
    }
    items
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

/// A column of the table.
struct Shown {
    heading: &'static str,
    sort: Column,
    is_number: bool,
    /// See [`fit::Column`].
    rank: u8,
    text: fn(&Row) -> String,
}

const COLUMNS: [Shown; 10] = {
    const fn column(heading: &'static str, sort: Column, rank: u8, text: fn(&Row) -> String) -> Shown {
        let is_number =
            matches!(sort, Column::InFlight | Column::Rate | Column::P50 | Column::P99 | Column::Failed);
        Shown { heading, sort, is_number, rank, text }
    }
    [
        column("STATE", Column::State, 0, |row| format!("{} {}", sign(row).0, row.condition().1)),
        column("BACKEND", Column::Name, 0, |row| row.id.clone()),
        column("ADDRESS", Column::Place, 8, |row| row.backend.address.clone()),
        Shown { is_number: true, ..column("WEIGHT", Column::Place, 6, |row| row.backend.weight.to_string()) },
        column("IN FL", Column::InFlight, 4, |row| row.backend.in_flight.to_string()),
        column("REQ/S", Column::Rate, 1, |row| show_rate(row.rate)),
        column("P50", Column::P50, 5, |row| show_latency(row.p50)),
        column("P99", Column::P99, 2, |row| show_latency(row.p99)),
        column("FAIL/S", Column::Failed, 3, |row| show_rate(row.failed)),
        column("SEEN", Column::Place, 7, marks),
    ]
};

/// The place of the names in [`COLUMNS`].
const NAMES: usize = 1;

fn draw_table(frame: &mut Frame<'_>, watch: &mut Watch, area: Rect) {
    let is_sorted = |shown: &Shown| shown.sort == watch.sort && shown.sort != Column::Place;
    let heading = |shown: &Shown| format!("{}{}", shown.heading, if is_sorted(shown) { "*" } else { "" });
    let mut texts: Vec<Vec<String>> =
        COLUMNS.iter().map(|shown| watch.rows.iter().map(shown.text).collect()).collect();
    let widths = widths(&texts, &COLUMNS.each_ref().map(&heading), area.width);
    let ids: Vec<&str> = watch.rows.iter().map(|row| row.id.as_str()).collect();
    texts[NAMES] = fit::names(&ids, usize::from(widths[NAMES].unwrap_or(0)));
    let shown = || COLUMNS.iter().zip(&widths).enumerate().filter(|(_, (_, width))| width.is_some());
    let cell = |shown: &Shown, text: String| {
        let line = Line::from(text);
        Cell::from(if shown.is_number { line.alignment(Alignment::Right) } else { line })
    };
    let header: Vec<Cell<'_>> = shown().map(|(_, (shown, _))| cell(shown, heading(shown))).collect();
    let rows: Vec<Cells<'_>> = (0..watch.rows.len())
        .map(|number| {
            let style = watch.colour(sign(&watch.rows[number]).1);
            let cell = |(place, (shown, _)): (usize, (&Shown, _))| {
                let cell = cell(shown, std::mem::take(&mut texts[place][number]));
                if shown.sort == Column::State { cell.style(style) } else { cell }
            };
            Cells::new(shown().map(cell).collect::<Vec<_>>())
        })
        .collect();
    let table = Table::new(rows, widths.iter().flatten().map(|width| Constraint::Length(*width)))
        .header(Cells::new(header).style(dim()))
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut watch.table);
}

/// The widths of those columns that have room: numbers whole, and as much of the names as can be.
fn widths(texts: &[Vec<String>], headings: &[String], width: u16) -> Vec<Option<u16>> {
    let length = |text: &String| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    let fitted = |name: u16| {
        let column = |((shown, texts), heading): ((&Shown, &Vec<String>), &String)| {
            let width = texts.iter().map(length).max().unwrap_or(0).max(length(heading));
            let least = if shown.sort == Column::Name { width.min(name) } else { width };
            fit::Column { width, least, rank: shown.rank }
        };
        let all: Vec<fit::Column> = COLUMNS.iter().zip(texts).zip(headings).map(column).collect();
        fit::columns(&all, width)
    };
    let (roomy, narrow) = (fitted(NAME), fitted(NAME_LEAST));
    // Without rates and percentiles there is little to see: rather a shorter name.
    let has_rates = |fitted: &[Option<u16>]| fitted[5].is_some() && fitted[7].is_some();
    if has_rates(&roomy) { roomy } else { narrow }
}

fn sign(row: &Row) -> (&'static str, Color) {
    match row.condition().1 {
        "up" => ("●", Color::Green),
        "warming" => ("◐", Color::Yellow),
        "unchecked" => ("○", Color::Yellow),
        "down" => ("✕", Color::Red),
        "ejected" => ("▲", Color::Red),
        "draining" => ("↓", Color::Magenta),
        "taken out" => ("■", Color::Magenta),
        _ => ("?", Color::Yellow),
    }
}

/// A sign for each of the last observations: a low one for well, a high one for ill.
fn marks(row: &Row) -> String {
    let from = row.backend.history.len().saturating_sub(SEEN);
    let mark = |is_well: bool| if is_well { '▂' } else { '█' };
    row.backend.history[from..].iter().map(|seen| mark(seen.is_well)).collect()
}

fn cause_line(watch: &Watch, width: u16) -> Line<'_> {
    if watch.causes.is_empty() {
        return Line::styled("no exchange has failed since this has begun to look", dim());
    }
    let item = |(cause, count): &(String, u64)| {
        vec![Span::raw(format!("{cause} ")), Span::styled(count.to_string(), bold())]
    };
    let mut items: Vec<Vec<Span<'_>>> = watch.causes.iter().take(6).map(item).collect();
    items[0].insert(0, Span::styled("failed because ", dim()));
    one_line(items, width)
}

fn foot_line(watch: &Watch, width: u16) -> Line<'_> {
    if let Some(plan) = &watch.plan {
        let verb = match plan.admin_state {
            AdminState::Ready => "have it serve again",
            AdminState::Drain => "drain it",
            AdminState::Down => "take it out",
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
        None if watch.is_plain => Line::styled("Ctrl-C ends", dim()),
        None => {
            let keys = ["q end", "? help", "↑↓ choose", "Enter look", "d drain", "r ready", "s sort"];
            one_line(keys.map(|key| vec![Span::styled(key, dim())]).to_vec(), width)
        }
    }
}

/// A text over everything else.
fn draw_over(frame: &mut Frame<'_>, title: &str, text: &str) {
    let area = frame.area();
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = area.width.min(u16::try_from(widest + 4).unwrap_or(u16::MAX));
    let height = area.height.min(fit::height(text, width.saturating_sub(2)).saturating_add(2));
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
