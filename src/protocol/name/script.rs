//! Whether a name is of one script (Unicode TR39 section 5.1). The tables come from build.rs.

include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

/// True if all characters are used in one script, or in one writing system of several: Japanese, Korean, Han with
/// Bopomofo. What is common to all scripts, as digits are, goes with any.
pub(super) fn is_single(name: &str) -> bool {
    let common = name
        .chars()
        .map(used_in)
        .fold([u64::MAX; 3], |all, set| [all[0] & set[0], all[1] & set[1], all[2] & set[2]]);
    common != [0; 3]
}

/// Each script in which a letter, digit or mark is used, as a bit.
fn used_in(c: char) -> [u64; 3] {
    // The first run begins with the first character that a name may hold.
    let behind = RUNS.partition_point(|run| run >> SET_BITS <= u32::from(c));
    RUNS.get(behind.wrapping_sub(1)).map_or([0; 3], |run| SETS[(run & ((1 << SET_BITS) - 1)) as usize])
}
