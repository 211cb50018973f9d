//! What the side tables of each format hold.

use super::detect::Files;
use super::layout::{bare, is_id};
use super::options::{Format, Separator};
use super::side::{self, Attribute, Meaning, Record, Side};
use evenhand_core::{Error, Ids, Result};
use std::path::Path;

/// Genre flags of MovieLens 100K in their published order, for copies without `u.genre`.
const GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Occupations of MovieLens 1M by their codes, from its README.
const OCCUPATIONS: [&str; 21] = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
];

/// What is known about the users.
pub(super) fn users(files: &Files, ids: &Ids) -> Result<Side> {
    let Some(path) = &files.users else { return Ok(Side::default()) };
    let attribute = |at, name: &str, meaning| (at, name.to_string(), meaning);
    match files.format {
        Format::Movielens100k => {
            let columns = [
                attribute(1, "age", Meaning::Age),
                attribute(2, "gender", Meaning::Category),
                attribute(3, "occupation", Meaning::Category),
            ];
            side::read(path, &records(path, Separator::Pipe)?, 0, 5, &columns, ids)
        }
        Format::Movielens1m => {
            let columns = [
                attribute(1, "gender", Meaning::Category),
                attribute(2, "age", Meaning::Age),
                attribute(3, "occupation", Meaning::Code(&OCCUPATIONS)),
            ];
            side::read(path, &records(path, Separator::DoubleColon)?, 0, 5, &columns, ids)
        }
        _ => atomic(path, "user", ids),
    }
}

/// What is known about the items.
pub(super) fn items(files: &Files, ids: &Ids) -> Result<Side> {
    let Some(path) = &files.items else { return Ok(Side::default()) };
    let title_and_genre = [(1, "title".to_string(), Meaning::Title), (2, "genre".to_string(), Meaning::List('|'))];
    match files.format {
        Format::Movielens100k => {
            let records = flags(path, records(path, Separator::Pipe)?, &genres(files.genres.as_deref())?)?;
            side::read(path, &records, 0, 3, &title_and_genre, ids)
        }
        Format::Movielens1m => {
            let records = without_none(records(path, Separator::DoubleColon)?);
            side::read(path, &records, 0, 3, &title_and_genre, ids)
        }
        Format::MovielensCsv => {
            let mut records = without_none(records(path, Separator::Comma)?);
            if records.first().is_some_and(|(_, cells)| cells[0] == "movieId") {
                records.remove(0);
            }
            side::read(path, &records, 0, 3, &title_and_genre, ids)
        }
        _ => atomic(path, "item", ids),
    }
}

fn records(path: &Path, separator: Separator) -> Result<Vec<Record>> {
    let bytes = super::source::bytes_of(path)?;
    side::records(path, &side::decode(super::source::without_mark(&bytes)), separator)
}

/// MovieLens writes an item without genres as one odd genre.
fn without_none(mut records: Vec<Record>) -> Vec<Record> {
    for (_, cells) in &mut records {
        cells.iter_mut().skip(2).filter(|c| *c == "(no genres listed)").for_each(String::clear);
    }
    records
}

/// The genres of `u.genre` (a line `name|place` each), in order of place.
fn genres(path: Option<&Path>) -> Result<Vec<String>> {
    let Some(path) = path else { return Ok(GENRES.map(String::from).to_vec()) };
    let mut genres = Vec::new();
    for (line, cells) in records(path, Separator::Pipe)? {
        if cells.len() != 2 || cells[1] != genres.len().to_string() {
            let reason = format!("`{}`, expected a genre and the place {}", cells.join("|"), genres.len());
            return Err(Error::line(path, line, reason));
        }
        genres.push(cells.into_iter().next().unwrap_or_default());
    }
    Ok(genres)
}

/// Lines of `u.item` (id, title, two dates, address, a flag per genre) as id, title, genres joined by `|`.
fn flags(path: &Path, records: Vec<Record>, genres: &[String]) -> Result<Vec<Record>> {
    let fields = 5 + genres.len();
    let short = |(line, cells): Record| {
        if cells.len() != fields {
            let reason = format!("{} fields, expected {fields} (5 and a flag per genre)", cells.len());
            return Err(Error::line(path, line, reason));
        }
        let mut set = Vec::new();
        for (genre, flag) in genres.iter().zip(&cells[5..]) {
            match flag.as_str() {
                "0" => {}
                "1" => set.push(genre.as_str()),
                other => return Err(Error::line(path, line, format!("flag `{other}` of {genre}, expected 0 or 1"))),
            }
        }
        let joined = set.join("|");
        Ok((line, cells.into_iter().take(2).chain([joined]).collect()))
    };
    records.into_iter().map(short).collect()
}

/// A RecBole table: tabs, and a header with types. Tokens are categories, lists of tokens are overlapping groups,
/// numbers other than an age are left aside.
fn atomic(path: &Path, entity: &str, ids: &Ids) -> Result<Side> {
    let mut records = records(path, Separator::Tab)?;
    if records.is_empty() {
        return Err(Error::data(path, "no lines, expected a header such as `user_id:token`"));
    }
    let (_, header) = records.remove(0);
    let names = || header.iter().map(|h| bare(h));
    let exact = names().position(|name| name == format!("{entity}_id"));
    let id = exact.or_else(|| names().position(|name| is_id(name, entity == "user"))).ok_or_else(|| {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        Error::line(path, 1, format!("no column of the {entity} among {}, expected `{entity}_id`", names.join(", ")))
    })?;
    let attributes: Vec<Attribute> = (0..)
        .zip(&header)
        .filter(|(at, _)| *at != id)
        .filter_map(|(at, cell)| {
            let name = if bare(cell) == "genres" { "genre" } else { bare(cell) };
            let typed = cell.split_once(':').map_or("token", |(_, t)| t.trim());
            let title = entity == "item" && (name == "name" || name.ends_with("title"));
            let meaning = match typed {
                "token" | "token_seq" if title => Meaning::Title,
                "token" | "float" if name == "age" => Meaning::PerhapsAge,
                "token" => Meaning::Category,
                "token_seq" => Meaning::List(' '),
                _ => return None,
            };
            Some((at, name.to_string(), meaning))
        })
        .collect();
    let side = side::read(path, &records, id, header.len(), &attributes, ids)?;
    if side.unknown == records.len() && side.unknown > 0 {
        let reason = format!("no line is about any {entity} of the ratings, by `{}`", bare(&header[id]));
        return Err(Error::data(path, reason));
    }
    Ok(side)
}
