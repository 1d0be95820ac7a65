//! Which class of servers takes new work now.
//!
//! Servers known to be up come before servers not checked yet, servers before backups. Only one
//! class is eligible at a time; a census of the classes tells which without walking the servers, so
//! that a change of one server costs no more in a pool of ten thousand.

use super::gate::Admission;

/// A class of servers. Smaller is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Known to be up, no backup.
    Up,
    /// Backups known to be up.
    BackupUp,
    /// Not checked yet, no backup.
    Unknown,
    /// Backups not checked yet.
    BackupUnknown,
}

impl Tier {
    const ALL: [Self; 4] = [Self::Up, Self::BackupUp, Self::Unknown, Self::BackupUnknown];

    /// The class of a server, `None` if it takes no new work.
    pub fn of(admission: Admission, backup: bool) -> Option<Self> {
        match (admission, backup) {
            (Admission::Up, false) => Some(Self::Up),
            (Admission::Up, true) => Some(Self::BackupUp),
            (Admission::Unknown, false) => Some(Self::Unknown),
            (Admission::Unknown, true) => Some(Self::BackupUnknown),
            (Admission::BoundOnly | Admission::Closed, _) => None,
        }
    }
}

/// How many servers each class has.
#[derive(Debug, Default, Clone)]
pub struct Census {
    up: usize,
    backup_up: usize,
    unknown: usize,
    backup_unknown: usize,
}

impl Census {
    /// Counts a server's move from one class to another.
    pub fn moved(&mut self, from: Option<Tier>, to: Option<Tier>) {
        if let Some(tier) = from {
            let count = self.count_mut(tier);
            *count = count.saturating_sub(1);
        }
        if let Some(tier) = to {
            *self.count_mut(tier) += 1;
        }
    }

    /// The class that takes new work, `None` if no server does.
    pub fn best(&self) -> Option<Tier> {
        Tier::ALL.into_iter().find(|tier| self.count(*tier) > 0)
    }

    /// Servers in the class that takes new work.
    pub fn available(&self) -> usize {
        self.best().map_or(0, |tier| self.count(tier))
    }

    /// Servers that are known to be up, backups included.
    pub fn known_up(&self) -> usize {
        self.up + self.backup_up
    }

    fn count(&self, tier: Tier) -> usize {
        match tier {
            Tier::Up => self.up,
            Tier::BackupUp => self.backup_up,
            Tier::Unknown => self.unknown,
            Tier::BackupUnknown => self.backup_unknown,
        }
    }

    fn count_mut(&mut self, tier: Tier) -> &mut usize {
        match tier {
            Tier::Up => &mut self.up,
            Tier::BackupUp => &mut self.backup_up,
            Tier::Unknown => &mut self.unknown,
            Tier::BackupUnknown => &mut self.backup_unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_servers_take_work_only_while_none_is_known_to_be_up() {
        let mut census = Census::default();
        census.moved(None, Some(Tier::Unknown));
        census.moved(None, Some(Tier::Unknown));
        assert_eq!(census.best(), Some(Tier::Unknown));
        census.moved(Some(Tier::Unknown), Some(Tier::Up));
        assert_eq!(census.best(), Some(Tier::Up));
        assert_eq!(census.available(), 1);
    }

    #[test]
    fn backups_take_work_only_when_no_other_server_is_up() {
        let mut census = Census::default();
        census.moved(None, Some(Tier::Up));
        census.moved(None, Some(Tier::BackupUp));
        assert_eq!(census.best(), Some(Tier::Up));
        census.moved(Some(Tier::Up), None);
        assert_eq!(census.best(), Some(Tier::BackupUp));
        census.moved(Some(Tier::BackupUp), None);
        assert_eq!(census.best(), None);
    }

    #[test]
    fn a_server_of_weight_zero_or_draining_is_in_no_class() {
        assert_eq!(Tier::of(Admission::BoundOnly, false), None);
        assert_eq!(Tier::of(Admission::Closed, true), None);
    }
}
