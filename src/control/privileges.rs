//! Root is needed to bind a low port, and for little after that: the process becomes another user, with the
//! capabilities that it is told to keep.

use std::ffi::CString;

use std::str::FromStr;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgid, getuid, initgroups, setgid, setgroups, setuid,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, set_capabilities,
    set_keep_capabilities,
};

/// Capabilities of root that outlive it (capabilities(7)), by their names in lower case without `CAP_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptCapabilities(CapabilitySet);

impl Default for KeptCapabilities {
    fn default() -> KeptCapabilities {
        KeptCapabilities(CapabilitySet::empty())
    }
}

impl KeptCapabilities {
    /// Those of `self` and of `other`.
    #[must_use]
    pub fn and(self, other: KeptCapabilities) -> KeptCapabilities {
        KeptCapabilities(self.0 | other.0)
    }

    /// Has them outlive setuid(2) in this thread. They are neither effective nor inherited by other programs then.
    fn hold(self) -> rustix::io::Result<()> {
        set_keep_capabilities(!self.0.is_empty())
    }

    /// Has this thread, the threads that it makes, and the programs that it runs have them, and no others.
    fn take(self) -> rustix::io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        set_keep_capabilities(false)?;
        set_capabilities(None, CapabilitySets { effective: self.0, permitted: self.0, inheritable: self.0 })?;
        self.0.iter().try_for_each(|each| configure_capability_in_ambient_set(each, true))
    }
}

impl FromStr for KeptCapabilities {
    type Err = String;

    fn from_str(text: &str) -> Result<KeptCapabilities, String> {
        let plain = text.trim().to_ascii_lowercase();
        let name = plain.strip_prefix("cap_").unwrap_or(&plain);
        match CapabilitySet::from_name(&name.to_ascii_uppercase()) {
            Some(one) => Ok(KeptCapabilities(one)),
            None => Err(format!(
                "no capability is called `{name}`; capabilities(7) lists them, such as net_bind_service (low ports at a \
                 reload) and dac_read_search (keys that only root may read)"
            )),
        }
    }
}

/// The user and the groups that the process changes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    uid: Uid,
    gid: Gid,
    /// The name, for which further groups may be known.
    name: Option<CString>,
}

impl Identity {
    /// The identity of the user and the group of these names or numbers. Without a group, the user's own;
    /// `None` without both.
    ///
    /// # Errors
    /// What is wrong with the names, and the way out.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Identity>, String> {
        let user = user.map(find_user).transpose()?;
        let group = group.map(find_group).transpose()?;
        Ok(match (user, group) {
            (None, None) => None,
            (None, Some(gid)) => Some(Identity { uid: geteuid(), gid, name: None }),
            (Some((uid, _, name)), Some(gid)) => Some(Identity { uid, gid, name }),
            (Some((uid, Some(gid), name)), None) => Some(Identity { uid, gid, name }),
            (Some((uid, None, _)), None) => {
                return Err(format!(
                    "no user has the number {uid}, so its group is not known; name one with --group"
                ));
            }
        })
    }

    /// Becomes it, in all threads and for good. This thread keeps `kept` of root's capabilities; those that are
    /// there already have none then.
    ///
    /// # Errors
    /// What the system says; some of the groups may have been given up.
    pub fn assume(&self, kept: KeptCapabilities) -> Result<(), String> {
        let is_it = (geteuid(), getuid(), getegid(), getgid()) == (self.uid, self.uid, self.gid, self.gid);
        if !geteuid().is_root() && is_it {
            return Ok(());
        }
        // Root that stays root gives up the groups that it was started with all the same.
        if !geteuid().is_root() {
            return Err(format!(
                "only root can become another user, and this process runs as user {}; start it as root, or without --user and --group",
                geteuid()
            ));
        }
        let fail = |what: &str, errno: Errno| format!("cannot become user {}: {what}: {errno}", self.uid);
        match &self.name {
            Some(name) => initgroups(name, self.gid).map_err(|errno| fail("initgroups", errno))?,
            None => setgroups(&[self.gid]).map_err(|errno| fail("setgroups", errno))?,
        }
        setgid(self.gid).map_err(|errno| fail("setgid", errno))?;
        let refused = |error: rustix::io::Errno| {
            format!(
                "cannot keep capabilities of root as user {}: {error}; was the process started with them?",
                self.uid
            )
        };
        kept.hold().map_err(refused)?;
        setuid(self.uid).map_err(|errno| fail("setuid", errno))?;
        if !self.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err(String::from("the process could become root again: it does not go on"));
        }
        // Root that stays root has them all.
        if self.uid.is_root() { Ok(()) } else { kept.take().map_err(refused) }
    }
}

/// Gives up all capabilities of this thread, unless it is one of root: those that a service manager or an earlier
/// process has left are for what the main thread does.
///
/// # Errors
/// As capset(2) gives them.
pub(super) fn renounce() -> rustix::io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
}

/// Number, group if it is known, and name.
fn find_user(text: &str) -> Result<(Uid, Option<Gid>, Option<CString>), String> {
    let number = text.parse().ok().map(Uid::from_raw);
    let found = match number {
        Some(uid) => User::from_uid(uid),
        None => User::from_name(text),
    };
    let found = found.map_err(|errno| format!("cannot look the user `{text}` up: {errno}"))?;
    match (found, number) {
        (Some(user), _) => Ok((user.uid, Some(user.gid), CString::new(user.name).ok())),
        (None, Some(uid)) => Ok((uid, None, None)),
        (None, None) => Err(format!("there is no user `{text}`; `getent passwd` lists them")),
    }
}

fn find_group(text: &str) -> Result<Gid, String> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let found =
        Group::from_name(text).map_err(|errno| format!("cannot look the group `{text}` up: {errno}"))?;
    found
        .map(|group| group.gid)
        .ok_or_else(|| format!("there is no group `{text}`; `getent group` lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(Identity::find(None, None), Ok(None));
        let root = Identity::find(Some("root"), None).unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (Uid::from_raw(0), Gid::from_raw(0)));
        let numbers = Identity::find(Some("4000001"), Some("4000002")).unwrap().unwrap();
        assert_eq!((numbers.uid.as_raw(), numbers.gid.as_raw(), numbers.name), (4_000_001, 4_000_002, None));
        assert!(Identity::find(Some("4000001"), None).unwrap_err().contains("--group"));
        assert!(Identity::find(Some("no such user"), None).unwrap_err().contains("no user `no such user`"));
        assert!(Identity::find(Some("root"), Some("no such group")).unwrap_err().contains("no group"));
    }
}
