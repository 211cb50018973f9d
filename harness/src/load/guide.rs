//! The parental guide of the Internet Movie Database, for films with MovieLens ids.
//!
//! The guide has a line for each film: its id `tconst`, such as `tt0114709`, and codes from 1 (none) to 4 (severe) of what
//! it shows: `sex_code`, `violence_code`, `profanity_code`, `drug_code`, `intense_code`. A file of links, as MovieLens has
//! it, tells the number in `tconst`, `imdbId`, of each `movieId`.
//!
//! The guide: "IMDB parental guide" by Barry Haworth on Kaggle, `IMDB_parental_detail_guide.csv`.

use super::sheet::Sheet;
use evenhand_core::{Error, Ids, Result};
use std::collections::HashMap;
use std::path::Path;

/// Columns with a code.
const CODES: [&str; 5] = ["sex_code", "violence_code", "profanity_code", "drug_code", "intense_code"];

/// The highest code of each of the `items`: `None` for one that the guide does not know, 0 for one without any code.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] for a bad line, for a film that occurs twice, and where the guide knows none of the items.
pub(super) fn highest(guide: &Path, links: &Path, items: &Ids) -> Result<Vec<Option<u8>>> {
    let (codes, links) = (codes(guide)?, Sheet::read(links)?);
    let (movie, imdb) = (links.column("movieId")?, links.column("imdbId")?);
    let mut highest = vec![None; items.len()];
    let mut linked = vec![false; items.len()];
    for (line, cells) in links.rows() {
        let Some(item) = items.index(&cells[movie]).map(|item| item as usize) else { continue };
        if std::mem::replace(&mut linked[item], true) {
            return Err(links.fault(line, format!("movieId `{}` occurs twice", cells[movie])));
        }
        if cells[imdb].is_empty() {
            continue;
        }
        let number = number(&cells[imdb]).ok_or_else(|| {
            links.fault(line, format!("imdbId `{}`, expected a whole number or nothing", cells[imdb]))
        })?;
        highest[item] = codes.get(&number).copied();
    }
    if !linked.contains(&true) {
        return Err(links.useless("no line is about any item of the ratings, by `movieId`"));
    }
    if highest.iter().all(Option::is_none) {
        return Err(Error::data(guide, "no line is about any item of the ratings"));
    }
    Ok(highest)
}

/// The highest code of each film, by the number in its id.
fn codes(guide: &Path) -> Result<HashMap<u64, u8>> {
    let sheet = Sheet::read(guide)?;
    let film = sheet.column("tconst")?;
    let columns = CODES.into_iter().map(|name| Ok((name, sheet.column(name)?))).collect::<Result<Vec<_>>>()?;
    let mut films = HashMap::new();
    for (line, cells) in sheet.rows() {
        let id = &cells[film];
        let number = id.strip_prefix("tt").and_then(number);
        let number =
            number.ok_or_else(|| sheet.fault(line, format!("tconst `{id}`, expected an id such as `tt0114709`")))?;
        let mut highest = 0;
        for &(name, at) in &columns {
            let code = code(&cells[at]).ok_or_else(|| {
                sheet.fault(line, format!("{name} `{}`, expected a whole number from 1 to 4, or nothing", cells[at]))
            })?;
            highest = highest.max(code);
        }
        if films.insert(number, highest).is_some() {
            return Err(sheet.fault(line, format!("tconst `{id}` occurs twice")));
        }
    }
    Ok(films)
}

/// Digits, with zeros in front or not.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// A code, also as a number with decimals; 0 where it is missing.
fn code(cell: &str) -> Option<u8> {
    match cell {
        "" | "NA" | "NaN" | "nan" => Some(0),
        "1" | "1.0" => Some(1),
        "2" | "2.0" => Some(2),
        "3" | "3.0" => Some(3),
        "4" | "4.0" => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GUIDE: &str = "tconst,title,sex_code,violence_code,profanity_code,drug_code,intense_code\n\
        tt0000007,\"A, B\",1,4,2,,1\ntt1000008,C,1.0,3.0,,,2.0\ntt0000009,D,,NaN,,,\ntt0000001,E,4,4,4,4,4\n";
    const LINKS: &str = "movieId,imdbId,tmdbId\n10,0000007,1\n11,1000008,2\n12,9,3\n13,77,4\n14,,5\n99,1,6\n";

    fn read(guide: &str, links: &str) -> Result<Vec<Option<u8>>> {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("guide.csv"), guide).unwrap();
        fs::write(at("links.csv"), links).unwrap();
        let ids = Ids::new((10..16).map(|id| id.to_string()).collect()).unwrap();
        highest(&at("guide.csv"), &at("links.csv"), &ids)
    }

    #[test]
    fn films_have_their_highest_code() {
        assert_eq!(read(GUIDE, LINKS).unwrap(), [Some(4), Some(3), Some(0), None, None, None]);
    }

    #[test]
    fn bad_lines_are_named() {
        let say = |guide: &str, links: &str| {
            let text = read(guide, links).unwrap_err().to_string();
            text.rsplit_once('/').unwrap().1.to_string()
        };
        let film = |line: &str| say(&format!("{GUIDE}{line}\n"), LINKS);
        assert_eq!(film("7,E,1,1,1,1,1"), "guide.csv:6: tconst `7`, expected an id such as `tt0114709`");
        assert_eq!(film("tt+5,E,1,1,1,1,1"), "guide.csv:6: tconst `tt+5`, expected an id such as `tt0114709`");
        assert_eq!(film("tt0000007,E,1,1,1,1,1"), "guide.csv:6: tconst `tt0000007` occurs twice");
        let code = "guide.csv:6: drug_code `5`, expected a whole number from 1 to 4, or nothing";
        assert_eq!(film("tt8,E,1,1,1,5,1"), code);
        let column = say(&GUIDE.replace("drug_code", "drugs_code"), LINKS);
        assert!(column.starts_with("guide.csv:1: no column `drug_code`, expected a column"), "{column}");
        let link = |line: &str| say(GUIDE, &format!("{LINKS}{line}\n"));
        assert_eq!(link("10,8,1"), "links.csv:8: movieId `10` occurs twice");
        assert_eq!(link("15,tt8,1"), "links.csv:8: imdbId `tt8`, expected a whole number or nothing");
        let links = say(GUIDE, "movieId,imdbId\n99,7\n");
        assert_eq!(links, "links.csv: no line is about any item of the ratings, by `movieId`");
        let none = say(GUIDE, "movieId,imdbId\n10,70\n");
        assert_eq!(none, "guide.csv: no line is about any item of the ratings");
    }
}
