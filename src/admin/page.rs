//! The dashboard: one page that holds all it needs, and may load, run and show nothing else.

use sha2::{Digest, Sha256};

use crate::syntax::base64::base64;

const FRAME: &str = include_str!("page/dashboard.html");
const STYLE: &str = include_str!("page/dashboard.css");
const SCRIPT: &str = include_str!("page/dashboard.js");

/// See the module.
pub(super) struct Page {
    pub(super) html: String,
    /// Its Content-Security-Policy: its own style and script by their hashes, requests to where it comes
    /// from, and nothing more.
    pub(super) policy: String,
}

impl Page {
    /// A page that `is_writable` has buttons that change something.
    pub(super) fn new(is_writable: bool) -> Page {
        let mark = if is_writable { "" } else { " data-readonly" };
        let html = FRAME.replace("{STYLE}", STYLE).replace("{SCRIPT}", SCRIPT).replace("{READONLY}", mark);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        Page { html, policy }
    }
}

fn hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_writes_no_html() {
        let page = Page::new(true);
        assert!(
            !page.html.contains("data-readonly>") && Page::new(false).html.contains("<body data-readonly>")
        );
        assert!(
            !page.html.contains("{READONLY}")
                && !page.html.contains("{STYLE}")
                && !page.html.contains("{SCRIPT}")
        );
        assert_eq!((page.html.matches("<script").count(), page.html.matches("<style").count()), (1, 1));
        for bad in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=\"",
            "onclick=",
            "//cdn",
            "@import",
            "url(http",
        ] {
            assert!(!page.html.contains(bad), "{bad}");
        }
    }
}
