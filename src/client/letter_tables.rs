//! The tables of `letters.sqlite`, and how they are made of those of earlier versions.

use rusqlite::Transaction;

/// The number of the tables' form, kept in the database's `user_version`; 0 is an empty file.
pub(super) const SCHEMA: i32 = 2;

/// `key` of `relays` is `NULL`, and its `address` may be empty, where an earlier version has made
/// the file and no relay was visited since. `created` of `seen` is `NULL` for a text that came in a
/// session. `floor` of `relays` is that of its peers that were forgotten. Times are milliseconds
/// since 1970.
const CREATE: &str = "
    CREATE TABLE relays (
        number INTEGER PRIMARY KEY, key BLOB UNIQUE, address TEXT NOT NULL,
        visited INTEGER NOT NULL, floor INTEGER NOT NULL) STRICT;
    CREATE TABLE keys (
        place INTEGER PRIMARY KEY, relay INTEGER NOT NULL, id INTEGER NOT NULL,
        sealed BLOB NOT NULL, created INTEGER NOT NULL, published INTEGER,
        UNIQUE (relay, id)) STRICT;
    CREATE TABLE parked (
        place INTEGER PRIMARY KEY, relay INTEGER NOT NULL, sender TEXT NOT NULL,
        fp BLOB NOT NULL, mid BLOB NOT NULL, content TEXT NOT NULL) STRICT;
    CREATE TABLE owed (
        place INTEGER PRIMARY KEY, relay INTEGER NOT NULL, peer TEXT NOT NULL, mid BLOB NOT NULL,
        since INTEGER NOT NULL, UNIQUE (relay, peer, mid)) STRICT;
    CREATE TABLE waiting (
        place INTEGER PRIMARY KEY, relay INTEGER NOT NULL, peer TEXT NOT NULL, mid BLOB NOT NULL,
        id TEXT NOT NULL, stored INTEGER NOT NULL, UNIQUE (relay, peer, mid)) STRICT;
    CREATE TABLE peers (
        relay INTEGER NOT NULL, fp BLOB NOT NULL, floor INTEGER NOT NULL,
        newest_key INTEGER NOT NULL, heard INTEGER NOT NULL,
        PRIMARY KEY (relay, fp)) STRICT, WITHOUT ROWID;
    CREATE INDEX peers_heard ON peers (heard);
    CREATE TABLE seen (
        place INTEGER PRIMARY KEY, relay INTEGER NOT NULL, fp BLOB NOT NULL, mid BLOB NOT NULL,
        created INTEGER, UNIQUE (relay, fp, mid)) STRICT;
    CREATE INDEX seen_kind ON seen (relay, fp, created IS NULL, place)";

/// The tables of schema 1, which knew of one relay, go out of the way.
const SET_ASIDE: &str = "
    DROP INDEX peers_heard;
    DROP INDEX seen_kind;
    ALTER TABLE keys RENAME TO old_keys;
    ALTER TABLE parked RENAME TO old_parked;
    ALTER TABLE owed RENAME TO old_owed;
    ALTER TABLE waiting RENAME TO old_waiting;
    ALTER TABLE peers RENAME TO old_peers;
    ALTER TABLE seen RENAME TO old_seen";

/// What is in them belongs to one relay. When a letter key was made is sealed in it; here it counts
/// as made when it was published, which is the same day or later.
const TAKE_OVER: &str = "
    INSERT INTO keys
        SELECT place, 1, id, sealed, coalesce(published, unixepoch() * 1000), published
        FROM old_keys;
    INSERT INTO parked SELECT place, 1, sender, fp, mid, content FROM old_parked;
    INSERT INTO owed SELECT place, 1, peer, mid, since FROM old_owed;
    INSERT INTO waiting SELECT place, 1, peer, mid, id, stored FROM old_waiting;
    INSERT INTO peers SELECT 1, fp, floor, newest_key, heard FROM old_peers;
    INSERT INTO seen SELECT place, 1, fp, mid, created FROM old_seen;
    DROP TABLE old_keys;
    DROP TABLE old_parked;
    DROP TABLE old_owed;
    DROP TABLE old_waiting;
    DROP TABLE old_peers;
    DROP TABLE old_seen;
    DROP TABLE floor";

/// Makes the tables in a file whose tables have the form `found`. `usual_relay` is the address of
/// the relay that an earlier version knew; empty: unknown.
pub(super) fn make_tables(
    within: &Transaction,
    found: i32,
    usual_relay: &str,
) -> rusqlite::Result<()> {
    match found {
        0 => within.execute_batch(CREATE)?,
        1 => {
            within.execute_batch(SET_ASIDE)?;
            within.execute_batch(CREATE)?;
            let relay =
                "INSERT INTO relays SELECT 1, NULL, ?1, unixepoch() * 1000, floor FROM floor";
            within.execute(relay, [usual_relay])?;
            within.execute_batch(TAKE_OVER)?;
        }
        _ => return Ok(()), // another process was faster
    }
    within.pragma_update(None, "user_version", SCHEMA)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::letter_book::tests::{relay, visit};
    use super::super::letter_book::{KeptKey, KeptLetters, LetterBook, OwedReceipt, WaitingLetter};
    use super::super::letter_file::FileLetters;
    use crate::home::Home;
    use crate::wire::Fingerprint;

    /// A file as version 1 made it.
    const SCHEMA_1: &str = "
        CREATE TABLE keys (
            place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, sealed BLOB NOT NULL,
            published INTEGER) STRICT;
        CREATE TABLE parked (
            place INTEGER PRIMARY KEY, sender TEXT NOT NULL, fp BLOB NOT NULL, mid BLOB NOT NULL,
            content TEXT NOT NULL) STRICT;
        CREATE TABLE owed (
            place INTEGER PRIMARY KEY, peer TEXT NOT NULL, mid BLOB NOT NULL,
            since INTEGER NOT NULL, UNIQUE (peer, mid)) STRICT;
        CREATE TABLE waiting (
            place INTEGER PRIMARY KEY, peer TEXT NOT NULL, mid BLOB NOT NULL, id TEXT NOT NULL,
            stored INTEGER NOT NULL, UNIQUE (peer, mid)) STRICT;
        CREATE TABLE peers (
            fp BLOB PRIMARY KEY, floor INTEGER NOT NULL, newest_key INTEGER NOT NULL,
            heard INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX peers_heard ON peers (heard);
        CREATE TABLE seen (
            place INTEGER PRIMARY KEY, fp BLOB NOT NULL, mid BLOB NOT NULL, created INTEGER,
            UNIQUE (fp, mid)) STRICT;
        CREATE INDEX seen_kind ON seen (fp, created IS NULL, place);
        CREATE TABLE floor (floor INTEGER NOT NULL) STRICT;
        INSERT INTO floor VALUES (3);
        INSERT INTO keys (id, sealed, published) VALUES (7, x'0102', 9);
        INSERT INTO parked (sender, fp, mid, content)
            VALUES ('bob', zeroblob(32), zeroblob(16), 'x');
        INSERT INTO owed (peer, mid, since) VALUES ('bob', zeroblob(16), 5);
        INSERT INTO waiting (peer, mid, id, stored) VALUES ('bob', zeroblob(16), '1', 6);
        INSERT INTO peers VALUES (zeroblob(32), 4, 8, 9);
        INSERT INTO seen (fp, mid, created) VALUES (zeroblob(32), zeroblob(16), 5);
        PRAGMA user_version = 1";

    #[test]
    fn what_version_1_kept_belongs_to_the_usual_relay_or_to_the_first_one() {
        for usual in [None, Some("relay1:1")] {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::open(folder.path().join("home")).unwrap();
            home.make("letters.sqlite").unwrap();
            let old = Connection::open(home.path("letters.sqlite")).unwrap();
            old.execute_batch(SCHEMA_1).unwrap();
            drop(old);
            let mut book = FileLetters::open(&home, "letters.sqlite", usual).unwrap();
            assert_eq!(book.left().unwrap()[0].relay, usual.unwrap_or_default());
            if usual.is_some() {
                assert_eq!(visit(&mut book, &relay(2), 9), KeptLetters::default());
            }
            let kept = visit(&mut book, &relay(1), 9);
            let key = KeptKey { id: 7, sealed: vec![1, 2], created: 9, published: Some(9) };
            let (to, mid) = ("bob".to_owned(), [0; 16]);
            assert_eq!((kept.keys, kept.parked.len()), (vec![key], 1));
            assert_eq!(kept.owed, [OwedReceipt { to: to.clone(), mid, since: 5 }]);
            assert_eq!(kept.waiting, [WaitingLetter { to, mid, id: "1".to_owned(), stored: 6 }]);
            let peer = book.peer(&Fingerprint([0; 32])).unwrap();
            assert_eq!((peer.seen, peer.floor, peer.newest_key), (vec![mid], 4, 8));
            assert_eq!(book.peer(&Fingerprint([1; 32])).unwrap().floor, 3);
            assert_eq!(visit(&mut book, &relay(3), 9), KeptLetters::default(), "no other");
            assert_eq!(book.left().unwrap()[0].relay, "relay1:1");
        }
    }
}
