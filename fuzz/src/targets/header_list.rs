//! Comma-separated lists: members are trimmed parts of the line, and make the same list again.

use equipoise::headers::{list_members, trim, unquote};

/// One input.
pub fn run(data: &[u8]) {
    let members: Vec<&[u8]> = list_members(data).collect();
    for member in &members {
        assert!(!member.is_empty() && trim(member) == *member);
        assert!(unquote(member).len() <= member.len());
    }
    // A string that was never closed reaches to the end; only the last member can have one.
    let again = members.join(&b", "[..]);
    assert_eq!(list_members(&again).collect::<Vec<_>>(), members);
}
