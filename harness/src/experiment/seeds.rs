//! Seeds as text: `0,1,2`, `0..5` or both joined by commas.

/// Reads a list of seeds. `0..5` leaves 5 out, `0..=5` has it.
///
/// ```
/// assert_eq!(evenhand::experiment::parse_seeds("7,0..3"), Ok(vec![7, 0, 1, 2]));
/// ```
///
/// # Errors
/// What is wrong, in words.
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, String> {
    let number = |t: &str| t.trim().parse::<u64>().map_err(|_| format!("`{t}` is no whole number"));
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let Some((from, to)) = part.split_once("..") else {
            seeds.push(number(part)?);
            continue;
        };
        let from = number(from)?;
        let to = match to.strip_prefix('=') {
            Some(last) => number(last)?.checked_add(1).ok_or("a seed too large")?,
            None => number(to)?,
        };
        if to.saturating_sub(from) > MOST {
            return Err(format!("`{part}` are more than {MOST} seeds"));
        }
        seeds.extend(from..to);
    }
    distinct(seeds)
}

/// Refuses an empty list and repetitions: a seed counted twice would make results look surer than they are.
pub(super) fn distinct(seeds: Vec<u64>) -> Result<Vec<u64>, String> {
    let mut sorted = seeds.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("seed {} occurs twice", pair[0])),
        None if seeds.is_empty() => Err("no seed".into()),
        None => Ok(seeds),
    }
}

/// Nobody repeats an experiment more often; a slip like `0..1000000000` would fill the memory.
const MOST: u64 = 10_000;
