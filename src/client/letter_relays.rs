//! The relays whose letters are in the file: which one is meant, and whether one more has a place.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::letter_book::over_before;
use super::letter_file::{count, time};
use super::trust::RelayPin;
use crate::limits::LETTER_RELAYS;

/// The number of a relay, and when it was last visited (`None`: what its row says of it is to be
/// changed). It is known by its key; else by its address; else it is the one that an earlier
/// version knew, which did not say.
pub(super) fn find(
    within: &Transaction,
    relay: &RelayPin,
) -> rusqlite::Result<Option<(i64, Option<u64>)>> {
    let mut find = within.prepare_cached(
        "SELECT number, iif(key IS ?1 AND address = ?2, visited, NULL) FROM relays \
         WHERE key = ?1 OR address = ?2 OR address = '' \
         ORDER BY key IS ?1 DESC, address = ?2 DESC, visited DESC LIMIT 1",
    )?;
    let found = |row: &Row| Ok((row.get(0)?, time(row.get(1)?)));
    find.query_row(params![relay.key.0, relay.address], found).optional()
}

/// Whether one relay more has a place.
pub(super) enum Room {
    Free,
    /// If this one gives way: nothing of it is needed any more.
    Of(i64),
    /// `longest`: the address of the one that was visited longest ago.
    None {
        longest: String,
    },
}

pub(super) fn room(within: &Transaction, now: u64) -> rusqlite::Result<Room> {
    let relays: i64 = within.query_row("SELECT count(*) FROM relays", [], |row| row.get(0))?;
    if relays < count(LETTER_RELAYS) {
        return Ok(Room::Free);
    }
    let idle = "SELECT number FROM relays WHERE visited < ?1 OR number NOT IN (
            SELECT relay FROM keys UNION SELECT relay FROM parked
            UNION SELECT relay FROM owed UNION SELECT relay FROM waiting)
        ORDER BY visited LIMIT 1";
    let before = over_before(now).0.cast_signed();
    let idle = within.query_row(idle, [before], |row| row.get(0)).optional()?;
    if let Some(number) = idle {
        return Ok(Room::Of(number));
    }
    let longest = "SELECT address FROM relays ORDER BY visited LIMIT 1";
    Ok(Room::None { longest: within.query_row(longest, [], |row| row.get(0))? })
}

/// Notes that a relay is visited, and returns its number.
pub(super) fn visit(within: &Transaction, relay: &RelayPin, now: u64) -> rusqlite::Result<i64> {
    let RelayPin { key, address } = relay;
    let number = if let Some((number, _)) = find(within, relay)? {
        let update = "UPDATE relays SET key = ?2, address = ?3, visited = ?4 WHERE number = ?1";
        within.execute(update, params![number, key.0, address, now.cast_signed()])?;
        number
    } else {
        if let Room::Of(number) = room(within, now)? {
            for table in ["keys", "parked", "owed", "waiting", "peers", "seen"] {
                within.execute(&format!("DELETE FROM {table} WHERE relay = ?1"), [number])?;
            }
            within.execute("DELETE FROM relays WHERE number = ?1", [number])?;
        }
        let insert = "INSERT INTO relays (key, address, visited, floor) VALUES (?1, ?2, ?3, 0)";
        within.execute(insert, params![key.0, address, now.cast_signed()])?;
        within.last_insert_rowid()
    };
    let (keys, receipts) = over_before(now);
    within.execute("DELETE FROM keys WHERE created < ?1", [keys.cast_signed()])?;
    within.execute("DELETE FROM owed WHERE since < ?1", [receipts.cast_signed()])?;
    Ok(number)
}
