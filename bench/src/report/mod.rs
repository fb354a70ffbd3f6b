//! Reports [`Results`]: a table for the terminal, and a folder with the raw figures, plots and a page. Nothing here
//! measures, and all that is shown follows from the raw figures.

mod draw;
mod figures;
mod findings;
mod html;
#[cfg(test)]
mod made_up;
mod plots;
mod spread;
mod table;
mod units;

pub use table::table;

use super::results::Results;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Writes `results.json`, the plots and `report.html` into `dir`, which is created if necessary. Returns the paths.
///
/// # Errors
/// A file can't be written; the message names it. Figures that are not finite can't be written as JSON in a way that
/// can be read back.
pub fn write(results: &Results, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let at =
        |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    fs::create_dir_all(dir).map_err(|error| at(dir, error))?;
    let plots = plots::plots(results)?;
    let json = serde_json::to_string_pretty(results).map_err(io::Error::other)?;
    let page = html::page(results, &plots);
    let drawn = plots.iter().map(|plot| (&*plot.file, &plot.svg));
    let mut written = Vec::new();
    for (name, text) in [("results.json", &json)].into_iter().chain(drawn).chain([("report.html", &page)]) {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| at(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this process that is removed at the end of the test, even if the test fails.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn report_is_complete_and_self_contained() {
        let results = made_up::results();
        let folder = Folder(std::env::temp_dir().join(format!("redpoll-report-{}", std::process::id())));
        let written = write(&results, &folder.0).expect("the report is written");
        assert!(written.iter().all(|path| path.is_file()));
        let read = |name: &str| fs::read_to_string(folder.0.join(name)).expect("it was written");

        let json = read("results.json");
        let again: Results = serde_json::from_str(&json).expect("what was written can be read");
        assert!(serde_json::to_string_pretty(&again).expect("and written again") == json, "as it was");

        let page = read("report.html");
        for text in
            ["Linux 6.1.0-test", "Processor &amp; Sons &lt;model 3&gt;", "bench --out 'a folder' --rounds 7"]
        {
            assert!(page.contains(text), "{text}");
        }
        for engine in
            ["reactor", "threads", "threads-queued", "limit", "irc://&lt;b&gt;127.0.0.1&lt;/b&gt;:6667/"]
        {
            assert!(page.contains(&format!("<th scope=\"row\">{engine}")), "{engine}");
        }
        assert!(!page.contains("<b>127") && !page.contains('\x1b'));
        assert_eq!(page.matches("<svg").count(), written.len() - 2);
        let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for fetch in ["http://", "https://", "src=", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(fetch), "{fetch}");
        }
    }

    #[test]
    fn error_names_the_folder() {
        let file = std::env::current_exe().expect("a test is a program");
        let error = write(&made_up::results(), &file.join("below")).expect_err("a file is no folder");
        assert!(error.to_string().contains("below"), "{error}");
    }
}
