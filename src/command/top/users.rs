//! The table of users.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::model::{Model, Part, Sort, User};
use super::view::{WARNING, age, heading};
use super::words::{bytes, duration, fit, padded, short_bytes, short_duration};
use crate::screen::{cut, escape, width};

/// Columns from which on figures have units as elsewhere, and names 20 cells.
const COLUMNS_FOR_UNITS: usize = 80;
/// Columns from which on there are addresses, and the fingerprints behind them.
const COLUMNS_FOR_ADDRESSES: usize = 100;
/// Rows above the users.
const HEAD: usize = 2;
/// Cells of an address, unless a longer one is shown.
const ADDRESS: usize = 21;

/// How many rows all users take.
pub(super) fn rows(model: &Model) -> u16 {
    u16::try_from(model.users_found().max(1) + HEAD).unwrap_or(u16::MAX)
}

pub(super) fn draw(frame: &mut Frame, model: &mut Model, area: Rect) {
    let columns = usize::from(area.width);
    let rows = usize::from(area.height).saturating_sub(HEAD);
    let now = model.status.as_ref().map_or(0, |status| status.now);
    let (title, style) = (title(model), age(model));
    let users = model.users_shown(rows);
    let address = users.iter().filter_map(|it| Some(width(&escape(it.address.as_deref()?))));
    let address = address.fold(ADDRESS, usize::max);
    let mut lines = vec![head(columns, address).dim()];
    let line = |user: &&User| user_line(user, now, columns, address).patch_style(style);
    lines.extend(users.iter().map(line));
    let block = heading(model, Part::Users, &title, area.width);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn title(model: &Model) -> String {
    let found = model.users_found();
    let in_all = model.status.as_ref().map_or(0, |status| status.users);
    let by = match model.sort {
        Sort::Name => "name",
        Sort::Since => "since",
        Sort::Received => "in",
        Sort::Sent => "out",
        Sort::Queued => "queued",
    };
    let reversed = if model.is_reversed { ", reversed" } else { "" };
    let with = match model.users_filter.as_str() {
        "" => String::new(),
        words => format!(", with “{}”", escape(words)),
    };
    let held = match model.held() {
        0 => String::new(),
        held => format!(", {held} held"),
    };
    format!(" users: {found} of {in_all}{held}{with}, by {by}{reversed} ")
}

fn head(columns: usize, address: usize) -> Line<'static> {
    let queued = if columns < COLUMNS_FOR_UNITS { "queue" } else { "queued" };
    let [before, held, behind] = cells(
        columns,
        address,
        ["name", "v", "since", "in", "out", queued, "", "address", "fingerprint"],
    );
    Line::from(fit(&format!("{before}{held}{behind}"), u16::try_from(columns).unwrap_or(u16::MAX)))
}

/// A line in three parts, the one in the middle being `held`. All that is asked for has room at 40
/// columns; the address and the fingerprint are there where there is room for them.
fn cells(columns: usize, address: usize, cells: [&str; 9]) -> [String; 3] {
    let [name, version, since, received, sent, queued, held, at, fp] = cells;
    let held = format!("{held:<4}");
    if columns < COLUMNS_FOR_UNITS {
        let name = padded(name, columns.saturating_sub(32).clamp(1, 20));
        let figures = format!("{since:>5} {received:>5} {sent:>5} {queued:>5}");
        return [format!(" {name} {version} {figures} "), held, String::new()];
    }
    let is_wide = columns >= COLUMNS_FOR_ADDRESSES;
    let name = padded(name, if is_wide { 28 } else { 20 });
    let figures = format!("{since:>12} {received:>9} {sent:>9} {queued:>9}");
    let behind = if is_wide { format!(" {} {}", padded(at, address), fp) } else { String::new() };
    [format!(" {name} {version} {figures} "), held, behind]
}

fn user_line(user: &User, now: u64, columns: usize, address: usize) -> Line<'static> {
    let is_narrow = columns < COLUMNS_FOR_UNITS;
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| if is_narrow { short_bytes(value as f64) } else { bytes(value as f64) };
    let since = now.saturating_sub(user.since) / 1000;
    let [before, held, behind] = cells(
        columns,
        address,
        [
            &user.name,
            &user.version.to_string(),
            &if is_narrow { short_duration(since) } else { duration(since) },
            &size(user.received),
            &size(user.sent),
            &size(user.queued),
            if user.held { "held" } else { "" },
            user.address.as_deref().unwrap_or("?"),
            &escape(user.fp.as_deref().unwrap_or("")),
        ],
    );
    let room = columns.saturating_sub(width(&before));
    let held = Span::raw(cut(&held, room).into_owned());
    let held = if user.held { held.style(WARNING) } else { held };
    let behind = cut(&behind, room.saturating_sub(4)).into_owned();
    Line::from(vec![Span::raw(before), held, Span::raw(behind)])
}
