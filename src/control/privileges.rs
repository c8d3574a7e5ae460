//! Root is needed to bind a low port, and for nothing after that: the process becomes another user.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgid, getuid, initgroups, setgid, setgroups, setuid,
};

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

    /// Becomes it, in all threads and for good.
    ///
    /// # Errors
    /// What the system says; some of the groups may have been given up.
    pub fn assume(&self) -> Result<(), String> {
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
        setuid(self.uid).map_err(|errno| fail("setuid", errno))?;
        if !self.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err(String::from("the process could become root again: it does not go on"));
        }
        Ok(())
    }
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
